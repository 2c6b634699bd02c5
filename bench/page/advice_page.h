// bench/page/advice_page.h - the topologies that were tried as a page: pictures, the table, and the
// advice.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>

#include "bench/advice/advice.h"

namespace batchproxy::bench {

std::string advice_page(const AdviceLog& log);

}  // namespace batchproxy::bench
