// bench/page/sweep_page.h - a sweep as a page: heat maps, its table, and what to configure.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>

#include "bench/sweep/sweep_log.h"

namespace batchproxy::bench {

std::string sweep_page(const SweepLog& log);

}  // namespace batchproxy::bench
