// launcher/repair/mechanic.h - Mechanic: what is changed about an engine before a start, and what
// each start has taught.
//
// Before the first start the engine gets what an earlier run has found out: the repairs with which
// it came up (remember.h), and a context and sequences that fit its GPUs (memory/). After a failed
// start the reason is read from the log (diagnosis/) and the next change is made (repair.h). After
// a good one the repairs and the memory's sizes are kept in files of the state directory.
//
// Threading: confined to one thread; reads and writes small files, and an engine's log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "batcher/base/backend_set.h"
#include "configs/schema/options.h"
#include "launcher/diagnosis/diagnosis.h"
#include "launcher/memory/plan_gpu.h"
#include "launcher/memory/plan_report.h"
#include "launcher/plan/engine_plan.h"
#include "launcher/repair/engine_repairs.h"
#include "launcher/repair/remember.h"
#include "launcher/repair/repair.h"

namespace batchproxy {

// What has become of a run, and what follows for the next.
struct FailureReport {
  std::optional<Cause> cause;
  // For people: the cause, the line that proves it, what to do. Empty when nothing is known.
  std::vector<std::string> lines;
  std::string evidence{};    // the line that proves it, or the best there is
  bool is_repaired = false;  // the plan was changed: the next start may go better
  // The next start would fail in the same way.
  bool is_hopeless = false;
};

// GPUs that engines may have, and none of ours has.
struct SpareGpus {
  // What holds a GPU for us, as long as it lives.
  using Claim = std::shared_ptr<const void>;

  Gpus gpus{};
  // None when another batchproxy has engines there.
  std::function<Claim(const Gpu&)> claim = [](const Gpu&) { return std::make_shared<int>(); };
  // What the driver tells of them now; none where it cannot be asked.
  std::function<PlanGpus(const Gpus&)> look = [](const Gpus&) { return PlanGpus(); };
};

class Mechanic {
 public:
  // `gpus`: all that the driver has told of; none when it was not asked. The files are
  // repairs_file() and learned_file().
  Mechanic(const Options& options, PlanGpus gpus, SpareGpus spare = {});

  // Before the first start. Returns sentences for the log.
  std::vector<std::string> prepare(EnginePlan& plan);

  // A start of `plan` has failed; its run begins at byte `begin` of its log. May change the plan.
  FailureReport after_failed_start(EnginePlan& plan, std::uint64_t begin);
  // An engine that was up has ended: why, if its log tells. Nothing is changed.
  FailureReport after_death(const EnginePlan& plan, std::uint64_t begin) const;
  // The engine is up. Returns sentences for the log.
  std::vector<std::string> after_good_start(const EnginePlan& plan, std::uint64_t begin);

  // The changes that the engine runs with, for people.
  std::vector<std::string> repairs(BackendId engine) const;

 private:
  // A flag that the plan has set, because what vLLM would choose does not fit.
  struct FittedFlag {
    std::string flag;  // "--max-model-len"
    std::string value;
    std::string sentence;
  };
  using FittedFlags = std::vector<FittedFlag>;

  // What is known of one engine.
  struct Care {
    EngineRepairs repairs;
    RepairKey key;        // of the engine as it was planned
    std::string moved{};  // "GPUs 0 -> 0,1"; empty while it has those that it was planned for
  };

  Care& care_of(const EnginePlan& plan);
  std::vector<RememberedRepair> remembered_for(const RepairKey& key, const EnginePlan& plan);
  Gpus free_spare() const;
  Gpus take_spare(std::size_t count);
  void move(EnginePlan& plan, Care& care, Gpus gpus);
  void give_enough_gpus(EnginePlan& plan, Care& care);
  void change_gpus(const Repair& repair, EnginePlan& plan, Care& care);
  bool may_change(const EnginePlan& plan) const;
  std::optional<PlanGpus> gpus_of(const EnginePlan& plan) const;
  std::optional<PlanWish> wish_of(const EnginePlan& plan) const;
  RepairKey key_of(const EnginePlan& plan) const;
  RepairMachine machine_for(const EnginePlan& plan);
  void fit_to_memory(EnginePlan& plan, std::vector<std::string>& said);
  std::vector<std::string> suggestions(const EnginePlan& plan, const Diagnosis& diagnosis) const;
  void take(const RepairSubject& subject, EnginePlan& plan) const;

  const bool repairs_;
  const std::string engine_;  // launcher.engine
  const RepairOptions options_;
  PlanGpus gpus_;
  SpareGpus spare_;
  std::vector<SpareGpus::Claim> claims_;  // on spare ones that engines of ours have had
  const std::string repairs_path_;        // empty: nothing is kept
  const std::string learned_path_;
  std::vector<std::optional<Care>> engines_;  // by backend
  std::vector<FittedFlags> fitted_;           // by backend
};

}  // namespace batchproxy
