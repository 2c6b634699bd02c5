// proxy/batches/query.h - what stands behind the `?` of a request's target.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "batcher/base/error.h"

namespace batchproxy {

// The value of `name`, decoded; nothing when it is not there.
std::optional<std::string> query_value(std::string_view target, std::string_view name);

// Which part of a list is asked for.
struct PageWanted {
  std::int64_t limit = 0;
  std::string after{};  // an id; empty: from the beginning
  bool ascending = false;
};
// `limit` (1 to `most`, and `usual` without one), `after` and `order` (desc without one).
Result<PageWanted> page_wanted(std::string_view target, std::int64_t usual, std::int64_t most);

}  // namespace batchproxy
