// configs/text/trim.h - a text without the blanks around it.
//
// Threading: any thread; no state.
#pragma once

#include <cstddef>
#include <string_view>

namespace batchproxy {

// `text` without the bytes of `blanks` at either end; a view into it.
constexpr std::string_view trim(std::string_view text, std::string_view blanks = " \t") {
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

}  // namespace batchproxy
