// proxy/control/log_level.h - how much is logged.
//
// Threading: any thread.
#pragma once

#include <string_view>

namespace batchproxy {

// `level` is one of the words of the key `log_level`.
void set_log_level(std::string_view level);

}  // namespace batchproxy
