// proxy/control/log_level.cc - see log_level.h.
#include "proxy/control/log_level.h"

#include <spdlog/spdlog.h>

namespace batchproxy {

void set_log_level(std::string_view level) {
  spdlog::default_logger_raw()->set_level(level == "debug"     ? spdlog::level::debug
                                          : level == "warning" ? spdlog::level::warn
                                          : level == "error"   ? spdlog::level::err
                                          : level == "off"     ? spdlog::level::off
                                                               : spdlog::level::info);
}

}  // namespace batchproxy
