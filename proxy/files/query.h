// proxy/files/query.h - what stands behind the `?` of a request's target.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "batcher/base/error.h"

namespace batchproxy {

// The value of `name`, decoded; nothing when it is not there.
std::optional<std::string> query_value(std::string_view target, std::string_view name);

// All of them, decoded, in their order: {"flush", "fixed"}. What has no `=` has an empty value.
std::vector<std::pair<std::string, std::string>> query_values(std::string_view target);

// Which part of a list is asked for.
struct PageWanted {
  std::int64_t limit = 0;
  std::string after{};  // an id; empty: from the beginning
  bool ascending = false;
};
// `limit` (1 to `most`, and `usual` without one), `after` and `order` (desc without one).
Result<PageWanted> page_wanted(std::string_view target, std::int64_t usual, std::int64_t most);

// That part.
template <class Item>
struct Page {
  std::vector<Item> items{};
  bool has_more = false;
};

}  // namespace batchproxy
