// launcher/repair/engine_repairs.h - EngineRepairs: what has been changed of one engine, over its
// deaths and starts.
//
//   EngineRepairs repairs(subject_of(plan.argv, plan.environment.set), options, remembered);
//   start(repairs.subject());
//   on a death before it was ready:  decision = repairs.on_failed(diagnosis, machine)
//                                    announce it; if there is a repair, start(repairs.subject())
//   once it is ready:                for (one : repairs.on_ready()) remember_repair(path, key, one)
//
// Threading: plain values; no I/O, no clock.
#pragma once

#include <string>
#include <vector>

#include "launcher/diagnosis/diagnosis.h"
#include "launcher/repair/remember.h"
#include "launcher/repair/repair.h"

namespace batchproxy {

class EngineRepairs {
 public:
  // `planned` is what the user wants. Of `remembered` is taken what changes a flag or variable that
  // is as it was then: what the user has set meanwhile counts more.
  EngineRepairs(RepairSubject planned, const RepairOptions& options,
                const std::vector<RememberedRepair>& remembered = {});

  // With what it is to be started now.
  const RepairSubject& subject() const { return subject_; }

  // What differs from the plan, for people: the sentences of what was remembered and of what was
  // made, in order. A later one of a kind replaces the earlier.
  std::vector<std::string> sentences() const;

  // It has failed before it was ready. The next repair, already made in subject(), or why there is
  // none. An unknown failure has none.
  RepairDecision on_failed(const Diagnosis& diagnosis, const RepairMachine& machine);

  // It is ready: the repairs since the last time have helped. Those that hold for the next start,
  // too: not what was done for memory that somebody else held.
  std::vector<RememberedRepair> on_ready();

 private:
  void keep(RememberedRepair repair);

  RepairSubject subject_;
  RepairOptions options_;
  RepairHistory history_;               // since it was last ready
  std::vector<RememberedRepair> made_;  // all that differs from the plan
  RepairHistory untold_;                // of these kinds on_ready() has something to tell
};

}  // namespace batchproxy
