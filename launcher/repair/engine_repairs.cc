// launcher/repair/engine_repairs.cc - the repairs of one engine.
#include "launcher/repair/engine_repairs.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "launcher/repair/flags.h"

namespace batchproxy {
namespace {

// Whether what it changes is as it was then: else the user has said something else meanwhile.
bool is_as_before(const RepairChange& change, const RepairSubject& subject) {
  if (!change.is_variable) return flag_value(subject.argv, change.name) == change.before;
  const auto set = subject.environment.find(change.name);
  return change.before ==
         (set == subject.environment.end() ? std::nullopt : std::optional(set->second));
}

// Whether it is still right at the next start.
bool outlives(const RememberedRepair& repair) {
  const bool is_of_others =
      repair.cause == Cause::kFreeMemory || repair.cause == Cause::kExternalWeights;
  return !repair.changes.empty() && !is_of_others;
}

}  // namespace

EngineRepairs::EngineRepairs(RepairSubject planned, const RepairOptions& options,
                             const std::vector<RememberedRepair>& remembered)
    : subject_(std::move(planned)), options_(options) {
  for (const RememberedRepair& repair : remembered) {
    const bool holds = std::ranges::all_of(
        repair.changes, [this](const auto& change) { return is_as_before(change, subject_); });
    if (!holds || !outlives(repair)) continue;
    apply_changes(repair.changes, subject_.argv, subject_.environment);
    keep(repair);
  }
}

std::vector<std::string> EngineRepairs::sentences() const {
  std::vector<std::string> sentences;
  for (const RememberedRepair& repair : made_) sentences.push_back(repair.sentence);
  return sentences;
}

RepairDecision EngineRepairs::on_failed(const Diagnosis& diagnosis, const RepairMachine& machine) {
  if (!diagnosis.cause) return {std::nullopt, "Why it failed is not known."};
  RepairDecision decision =
      next_repair(*diagnosis.cause, diagnosis.figures, subject_, machine, history_, options_);
  if (!decision.repair) return decision;
  const Repair& repair = *decision.repair;
  history_.push_back(repair.kind);
  apply_changes(repair.changes, subject_.argv, subject_.environment);
  if (!repair.changes.empty()) {
    keep({*diagnosis.cause, repair.kind, repair.changes, repair.sentence});
    untold_.push_back(repair.kind);
  }
  return decision;
}

std::vector<RememberedRepair> EngineRepairs::on_ready() {
  history_.clear();
  const RepairHistory untold = std::exchange(untold_, {});
  std::vector<RememberedRepair> lasting;
  std::ranges::copy_if(made_, std::back_inserter(lasting), [&](const RememberedRepair& repair) {
    return outlives(repair) && std::ranges::find(untold, repair.kind) != untold.end();
  });
  return lasting;
}

// Beside the plan: of two of a kind, from what was before the first to what is behind the second.
void EngineRepairs::keep(RememberedRepair repair) {
  const auto earlier = std::ranges::find(made_, repair.kind, &RememberedRepair::kind);
  if (earlier != made_.end()) {
    for (RepairChange& change : repair.changes) {
      const auto old = std::ranges::find(earlier->changes, change.name, &RepairChange::name);
      if (old != earlier->changes.end()) change.before = old->before;
    }
    made_.erase(earlier);
  }
  made_.push_back(std::move(repair));
}

}  // namespace batchproxy
