// launcher/outlook/outlook.h - what engines of other nodes would find here and now: is there an
// allocation or a cluster, does it answer, do the engines fit, can their agents reach us.
//
// `batchproxy check`, `doctor`, `--dry-run` and a start ask this once, each as much of it as it
// needs. Nothing is started, and who has not answered in time is named.
//
// Threading: any thread; blocks for as long as that takes.
#pragma once

#include <vector>

#include "configs/schema/options.h"
#include "launcher/base/finding.h"
#include "launcher/base/machine.h"
#include "launcher/outlook/answer_time.h"

namespace batchproxy {

struct Outlook {
  std::vector<Finding> placement{};  // of the scheduler, or of the carrier's program
  std::vector<Finding> agents{};     // of launcher.agents_listen
};

// Of launcher.placement; empty for `local`. `options` have been checked.
Outlook look_out(const Options& options, const Machine& machine);

// Of these what is in the way of a start, or may be; nothing that is well. What the placement lacks
// on this machine (PlacementRow::lacks) is told elsewhere. No start goes on past one that
// is_hopeless.
std::vector<Finding> obstacles(const Options& options, const Machine& machine,
                               const AnswerTime& time);

}  // namespace batchproxy
