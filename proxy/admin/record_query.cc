// proxy/admin/record_query.cc - see record_query.h.
#include "proxy/admin/record_query.h"

#include <fmt/format.h>

#include "configs/text/number.h"
#include "proxy/files/query.h"

namespace batchproxy {

bool asks_for_requests(std::string_view target) {
  if (!target.starts_with(kRequestsPath)) return false;
  target.remove_prefix(kRequestsPath.size());
  return target.empty() || target.front() == '/' || target.front() == '?';
}

Result<RecordSearch> read_record_search(std::string_view target) {
  RecordSearch search;
  std::string_view path = target.substr(0, target.find('?'));
  path.remove_prefix(kRequestsPath.size());
  search.one = path.size() > 1;
  search.id = search.one ? path.substr(1) : query_value(target, "id").value_or("");
  search.failed = query_value(target, "failed").has_value();
  if (const auto slow = query_value(target, "slow")) {
    search.slow = true;
    const auto seconds = number_in<double>(*slow);
    if (!slow->empty() && (!seconds || !(*seconds >= 0 && *seconds < 1e6))) {
      return Error{Errc::kInvalidRequest, "slow must be a number of seconds, or stand alone.",
                   "slow"};
    }
    if (seconds) {
      search.over = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*seconds));
    }
  }
  if (const auto limit = query_value(target, "limit")) {
    const auto number = number_in<std::size_t>(*limit);
    if (!number || *number < 1 || *number > RecordSearch::kMost) {
      return Error{Errc::kInvalidRequest,
                   fmt::format("limit must be a number from 1 to {}.", RecordSearch::kMost),
                   "limit"};
    }
    search.limit = *number;
  }
  if (search.one) search.limit = 1;
  return search;
}

}  // namespace batchproxy
