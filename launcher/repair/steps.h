// launcher/repair/steps.h - the steps that may help with a cause, cheapest first.
//
// Threading: pure functions over values.
#pragma once

#include <optional>
#include <span>

#include "launcher/repair/repair.h"

namespace batchproxy {

// All that a step looks at.
struct RepairCase {
  Cause cause;
  const Figures& figures;
  const RepairSubject& subject;
  const RepairMachine& machine;
  const RepairOptions& options;

  double utilization() const;  // as the engine was started
  int gpus() const;            // that it has
  double missing_gib() const;  // of KV cache
};

// The change, or nothing where it cannot be made or cannot help.
using RepairStep = std::optional<Repair> (*)(const RepairCase&);

// None for what only a person can put right.
std::span<const RepairStep> repair_steps_for(Cause cause);

}  // namespace batchproxy
