// configs/text/number.h - a text that is a number and nothing else.
//
// Threading: any thread; no state.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace batchproxy {

// The number that all of `text` is, as std::from_chars reads it: no plus, no blank, no rest.
// Nothing when it is none, or when `Number` cannot hold it.
template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number number{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc() || end != last) return std::nullopt;
  return number;
}

}  // namespace batchproxy
