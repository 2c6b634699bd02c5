// launcher/repair/mechanic.h - Mechanic: what is changed about an engine before a start, and what
// each start has taught.
//
// Before the first start the engine gets what an earlier run has found out: the repairs with which
// it came up (remember.h), and a context that fits its GPUs (memory/). After a failed start the
// reason is read from the log (diagnosis/) and the next change is made (repair.h). After a good one
// the repairs and the memory's sizes are kept in files of the state directory.
//
// Threading: confined to one thread; reads and writes small files, and an engine's log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "batcher/base/backend_set.h"
#include "configs/schema/options.h"
#include "launcher/diagnosis/diagnosis.h"
#include "launcher/memory/plan_gpu.h"
#include "launcher/memory/plan_report.h"
#include "launcher/plan/engine_plan.h"
#include "launcher/repair/remember.h"
#include "launcher/repair/repair.h"

namespace batchproxy {

// What has become of a run, and what follows for the next.
struct Finding {
  std::optional<Cause> cause;
  // For people: the cause, the line that proves it, what to do. Empty when nothing is known.
  std::vector<std::string> lines;
  bool is_repaired = false;  // the plan was changed: the next start may go better
  // The next start would fail in the same way.
  bool is_hopeless = false;
};

class Mechanic {
 public:
  // `gpus`: all that the driver has told of; none when it was not asked. `spare_gpus`: how many no
  // engine has. `state_directory` may be empty: then nothing is kept.
  Mechanic(const Options& options, PlanGpus gpus, int spare_gpus, std::string state_directory);

  // Before the first start. Returns sentences for the log.
  std::vector<std::string> prepare(EnginePlan& plan);

  // A start of `plan` has failed; its run begins at byte `begin` of its log. May change the plan.
  Finding after_failed_start(EnginePlan& plan, std::uint64_t begin);
  // An engine that was up has ended: why, if its log tells. Nothing is changed.
  Finding after_death(const EnginePlan& plan, std::uint64_t begin) const;
  // The engine is up. Returns sentences for the log.
  std::vector<std::string> after_good_start(const EnginePlan& plan, std::uint64_t begin);

  // The changes that the engine runs with, for people.
  const std::vector<std::string>& repairs(BackendId engine) { return record(engine).sentences; }

 private:
  // What was done for one engine.
  struct Record {
    RepairHistory history;                 // since it was last up
    std::vector<RememberedRepair> made;    // not yet remembered
    std::vector<std::string> sentences{};  // in force
  };

  Record& record(BackendId engine);
  bool may_change(const EnginePlan& plan) const;
  std::optional<PlanGpus> gpus_of(const EnginePlan& plan) const;
  std::optional<PlanWish> wish_of(const EnginePlan& plan) const;
  RepairKey key_of(const EnginePlan& plan) const;
  RepairMachine machine_for(const EnginePlan& plan) const;
  void recall(EnginePlan& plan, std::vector<std::string>& said);
  void fit_context(EnginePlan& plan, std::vector<std::string>& said);
  std::vector<std::string> suggestions(const EnginePlan& plan, const Diagnosis& diagnosis) const;
  std::string file(const char* name) const;

  const bool repairs_;
  const std::string engine_;  // launcher.engine
  const RepairOptions options_;
  const PlanGpus gpus_;
  const int spare_gpus_;
  const std::string directory_;
  RepairMemory memory_;
  std::vector<Record> records_;  // by backend
};

}  // namespace batchproxy
