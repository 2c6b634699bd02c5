// configs/text/columns.cc - see columns.h.
#include "configs/text/columns.h"

#include <algorithm>

namespace batchproxy {

namespace {
bool begins_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
}
}  // namespace

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, begins_character));
}

std::string cut_to_columns(std::string_view text, std::size_t most) {
  if (columns_of(text) <= most) return std::string(text);
  if (most == 0) return {};
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size(); ++end) {
    if (begins_character(text[end]) && seen++ == most - 1) break;
  }
  return std::string(text.substr(0, end)) + "~";
}

std::vector<std::string> wrapped(std::string_view text, std::size_t most) {
  std::vector<std::string> lines;
  while (most > 0 && columns_of(text) > most) {
    std::size_t end = 0, blank = 0;
    // Up to the first character that is too much; a blank there is the best place.
    for (std::size_t seen = 0; end < text.size(); ++end) {
      if (text[end] == ' ') blank = end;
      if (begins_character(text[end]) && seen++ == most) break;
    }
    const std::size_t at = blank > 0 ? blank : end;
    lines.emplace_back(text.substr(0, at));
    text.remove_prefix(blank > 0 ? at + 1 : at);
  }
  lines.emplace_back(text);
  return lines;
}

}  // namespace batchproxy
