// proxy/trace/record_search.h - which of the requests that ended last are asked for.
//
// Threading: values, any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "proxy/trace/record_ring.h"

namespace batchproxy {

struct RecordSearch {
  static constexpr std::size_t kMost = 1000;

  bool wants(const RequestRecord& record) const;

  bool one = false;                // a certain request: the last of its id
  std::string id{};                // ours or the client's; empty: any
  bool failed = false;             // only those
  bool slow = false;               // the slowest first, instead of the last
  std::optional<Duration> over{};  // only those that took longer
  std::size_t limit = 100;
};

// Adds what `search` wants of `ring`, and keeps `found` at its limit.
void search_in(const RecordRing& ring, const RecordSearch& search,
               std::vector<RequestRecord>& found);
// In the order asked for, as many as asked for.
void put_in_order(const RecordSearch& search, std::vector<RequestRecord>& found);

}  // namespace batchproxy
