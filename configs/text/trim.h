// configs/text/trim.h - a text without the blanks around it.
//
// Threading: any thread; no state.
#pragma once

#include <string_view>

namespace batchproxy {

// `text` without the bytes of `blanks` at either end; a view into it. Byte by byte, since the two
// ends of a header field's value are blank for a byte or none: a search costs more than it looks.
constexpr std::string_view trim(std::string_view text, std::string_view blanks = " \t") {
  const auto is_blank = [blanks](char byte) {
    for (const char blank : blanks) {
      if (byte == blank) return true;
    }
    return false;
  };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace batchproxy
