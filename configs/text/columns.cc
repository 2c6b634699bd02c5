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

}  // namespace batchproxy
