// proxy/admin/record_query.cc - see record_query.h.
#include "proxy/admin/record_query.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "configs/text/number.h"
#include "configs/text/printable.h"
#include "proxy/files/query.h"

namespace batchproxy {

namespace {

// The name of a part of the query that is none of ours.
std::optional<std::string_view> unknown_word(std::string_view target) {
  const std::size_t at = target.find('?');
  std::string_view query = at == target.npos ? "" : target.substr(at + 1);
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const std::string_view name = part.substr(0, part.find('='));
    const bool is_known = name == "id" || name == "failed" || name == "slow" || name == "limit";
    if (!is_known) return name;
  }
  return std::nullopt;
}

}  // namespace

bool asks_for_requests(std::string_view target) {
  if (!target.starts_with(kRequestsPath)) return false;
  target.remove_prefix(kRequestsPath.size());
  return target.empty() || target.front() == '/' || target.front() == '?';
}

Result<RecordSearch> read_record_search(std::string_view target) {
  if (const auto strange = unknown_word(target)) {
    return Error{Errc::kInvalidRequest,
                 fmt::format("There is no `{}` here; there are id, failed, slow and limit.",
                             printable(*strange))};
  }
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
