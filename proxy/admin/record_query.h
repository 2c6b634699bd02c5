// proxy/admin/record_query.h - GET /admin/requests and /admin/requests/ID: what is asked for.
//
// Threading: pure functions, any thread.
#pragma once

#include <string_view>

#include "batcher/base/error.h"
#include "proxy/trace/record_search.h"

namespace batchproxy {

inline constexpr std::string_view kRequestsPath = "/admin/requests";

bool asks_for_requests(std::string_view target);
// Of a target for which that is true.
Result<RecordSearch> read_record_search(std::string_view target);

}  // namespace batchproxy
