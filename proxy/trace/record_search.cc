// proxy/trace/record_search.cc - see record_search.h.
#include "proxy/trace/record_search.h"

#include <algorithm>
#include <iterator>

namespace batchproxy {

bool RecordSearch::wants(const RequestRecord& record) const {
  if (!id.empty() && !record.is_called(id)) return false;
  if (failed && !record.has_failed()) return false;
  return !over || record.total() > *over;
}

void search_in(const RecordRing& ring, const RecordSearch& search,
               std::vector<RequestRecord>& found) {
  for (std::uint64_t number = ring.written(); number > ring.oldest(); --number) {
    const RequestRecord& record = ring[number - 1];
    if (!search.wants(record)) continue;
    found.push_back(record);
    // The last ones are met first; the slowest can be anywhere.
    if (!search.slow && found.size() == search.limit) return;
    if (found.size() >= 2 * search.limit) put_in_order(search, found);
  }
  // All of these are older.
  std::ranges::copy_if(ring.failures(), std::back_inserter(found),
                       [&search](const RequestRecord& record) { return search.wants(record); });
  put_in_order(search, found);
}

void put_in_order(const RecordSearch& search, std::vector<RequestRecord>& found) {
  std::ranges::sort(found, [&search](const RequestRecord& a, const RequestRecord& b) {
    return search.slow ? a.total() > b.total() : a.ended > b.ended;
  });
  if (found.size() > search.limit) found.resize(search.limit);
}

}  // namespace batchproxy
