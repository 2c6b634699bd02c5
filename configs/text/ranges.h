// configs/text/ranges.h - indices that are written as ranges.
//
// Threading: any thread; no state.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "configs/text/number.h"

namespace batchproxy {

// "0-3" -> 0 1 2 3. Anything else stays as it is, such as an index, or a range of more than 1024 or
// whose first is not the smaller one.
inline std::vector<std::string> expand_range(const std::string& item) {
  constexpr std::size_t kMost = 1024;
  const std::size_t dash = item.find('-');
  const auto first = number_in<std::size_t>(std::string_view(item).substr(0, dash));
  if (dash == std::string::npos || !first) return {item};
  const auto last = number_in<std::size_t>(std::string_view(item).substr(dash + 1));
  if (!last || *last < *first || *last - *first >= kMost) return {item};
  std::vector<std::string> indices;
  for (std::size_t index = *first; index <= *last; ++index) {
    indices.push_back(std::to_string(index));
  }
  return indices;
}

}  // namespace batchproxy
