// backends/sim/api/metrics_text.h - the /metrics page: vLLM's names, types and labels.
//
// Threading: pure function.
#pragma once

#include <string>

#include "backends/sim/api/api.h"

namespace batchproxy::sim {

std::string metrics_text(const ServerModel& server, const RequestTally& tally,
                         const ApiOptions& options);

}  // namespace batchproxy::sim
