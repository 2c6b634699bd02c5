// configs/yaml/mistakes.h - slips in YAML files as they look to whoever made them. The parser only
// knows what it had expected instead.
//
// Threading: any thread; no state.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

struct Slip {
  int line = 0;  // 1-based, as `column`
  int column = 0;
  std::string reason;
};

// The slip by which the parser stopped at this place, saying `complaint`; nothing if it is none
// that we know.
std::optional<Slip> find_slip(std::string_view text, int line, int column,
                              std::string_view complaint);

// The first byte of a file that is neither UTF-8 nor marked as another Unicode encoding.
std::optional<Slip> find_foreign_byte(std::string_view text);

// "batch_size:" if a blank is missing in a key that reads "batch_size:16"; else empty.
std::string_view glued_key(std::string_view key);

// Why an unquoted value is probably a mistake, as " (...)"; empty when nothing about it is odd.
std::string odd_value(std::string_view value);

// The same, but only what no text of ours can hold on purpose.
std::string odd_text(std::string_view value);

}  // namespace batchproxy
