// proxy/control/reload.h - what a reload of the configuration can change, and what has to wait for
// a restart.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>
#include <vector>

#include "configs/schema/options.h"

namespace batchproxy {

// The outcome of a reload, for the log and for the caller.
struct ReloadReport {
  bool ok = false;
  std::vector<std::string> lines{};
};

struct ReloadPlan {
  Options options;                 // to go by from now on
  std::vector<std::string> lines;  // what changes, and what would after a restart
};

// Takes of `wanted` what can change while we run; the rest stays as it is in `current`.
ReloadPlan plan_reload(const Options& current, const Options& wanted);

}  // namespace batchproxy
