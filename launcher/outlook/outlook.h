// launcher/outlook/outlook.h - what engines of other nodes would find here and now: is there an
// allocation or a cluster, does it answer, do the engines fit, can their agents reach us.
//
// `batchproxy check` and `doctor` ask this once. Nothing is started, and nobody is waited for
// longer than a few seconds: who has not answered by then is named.
//
// Threading: any thread; blocks for as long as that takes.
#pragma once

#include <vector>

#include "configs/schema/options.h"
#include "launcher/base/finding.h"
#include "launcher/base/machine.h"

namespace batchproxy {

struct Outlook {
  std::vector<Finding> placement{};  // of the scheduler, or of the carrier's program
  std::vector<Finding> agents{};     // of launcher.agents_listen
};

// Of launcher.placement; empty for `local`. `options` have been checked.
Outlook look_out(const Options& options, const Machine& machine);

}  // namespace batchproxy
