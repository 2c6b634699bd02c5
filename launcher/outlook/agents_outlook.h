// launcher/outlook/agents_outlook.h - can the agents of other nodes reach us at
// launcher.agents_listen?
//
// Threading: any thread; listens there for a moment, and asks the system's resolver for some
// seconds at most.
#pragma once

#include <vector>

#include "configs/schema/options.h"
#include "launcher/base/finding.h"
#include "launcher/base/machine.h"

namespace batchproxy {

std::vector<Finding> agents_outlook(const Options& options, const Machine& machine);

}  // namespace batchproxy
