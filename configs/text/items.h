// configs/text/items.h - a list that is written as a text with commas.
//
// Threading: any thread; no state.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "configs/text/trim.h"

namespace batchproxy {

// "4, 5,,6" -> 4 5 6: without the blanks around each, and without empty ones.
inline std::vector<std::string> items_between_commas(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view item = trim(text.substr(0, comma));
    if (!item.empty()) items.emplace_back(item);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

}  // namespace batchproxy
