// launcher/doctor/plan_check.cc - will the model fit into the memory of the GPUs that it gets?
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "launcher/doctor/checks.h"
#include "launcher/memory/plan_gpu.h"
#include "launcher/memory/plan_report.h"

namespace batchproxy {
namespace {

Finding finding_of(const PlanReport& report) {
  constexpr const char* kCommand = "see `batchproxy plan`";
  if (!report.not_planned.empty()) return ok("not planned: " + report.not_planned);
  if (report.plan.fits()) {
    return ok(fmt::format("a context of {} fits {:.1f} times", report.plan.max_model_len,
                          report.plan.max_concurrency));
  }
  return failure(report.plan.problems.front(),
                 report.suggestions.empty() ? kCommand : describe(report.suggestions.front()));
}

PlanReport planned(const Subject& subject, const EngineWish& wish, const Gpus& group) {
  PlanWish planned;
  planned.model = subject.machine.at(subject.model_folder).string();
  planned.pool = plan_gpus(*subject.inventory, group);
  planned.gpus = static_cast<std::int64_t>(group.size());
  planned.learned = subject.learned;
  auto flags = engine_flags(wish.arguments, subject.vllm ? subject.vllm->version : kNewestKnown);
  if (!flags) {
    PlanReport report;
    report.not_planned = flags.error().reason;
    return report;
  }
  planned.flags = *std::move(flags);
  return plan_model(planned, subject.machine.environment);
}

}  // namespace

// Of engines of the first one's model: its files are those that were found.
FindingList check_plan(const Subject& subject) {
  if (!subject.uses_gpus() || !subject.inventory || subject.model_folder.empty()) return {};
  const std::vector<Gpus> groups = subject.groups();
  FindingList list;
  for (std::size_t i = 0; i < subject.wishes.size(); ++i) {
    const EngineWish& wish = subject.wishes[i];
    if (groups[i].empty() || wish.model != subject.wishes.front().model) continue;
    if (plan_gpus(*subject.inventory, groups[i]).size() != groups[i].size()) continue;
    Finding finding = finding_of(planned(subject, wish, groups[i]));
    const bool is_known = std::ranges::any_of(list, [&](const Finding& other) {
      return other.text == finding.text && other.fix == finding.fix;
    });
    if (!is_known) list.push_back(std::move(finding));
  }
  return list;
}

}  // namespace batchproxy
