// proxy/control/reload.cc - keeps of the old options what the rows of options.h say.
#include "proxy/control/reload.h"

#include <algorithm>

#include "configs/describe.h"
#include "configs/schema/backend_source.h"
#include "configs/schema/section.h"

namespace batchproxy {
namespace {

bool waits_for_restart(Applies applies, bool source_changes) {
  switch (applies) {
    case Applies::kOnReload:
      return false;
    case Applies::kAfterRestart:
      return true;
    case Applies::kUnlessSourceChanges:
      return source_changes;
  }
  return true;
}

}  // namespace

ReloadPlan plan_reload(const Options& current, const Options& wanted) {
  ReloadPlan plan{wanted, {}};
  const bool started = backend_source(current) == BackendSource::kLauncher;
  const bool starts = backend_source(wanted) == BackendSource::kLauncher;
  const auto keep = [&](auto& key, const auto& old) {
    if (waits_for_restart(key.applies, started != starts)) key = old;
  };
  for_each_key_pair(plan.options.worker, current.worker, keep);
  for_each_key_pair(plan.options.proxy, current.proxy, keep);
  if (started != starts) {
    plan.lines.push_back(
        "engines that are started and servers that run already cannot take each other's place "
        "without a restart");
  }
  const std::vector<Change> left = changes_between(plan.options, wanted);
  for (const Change& change : changes_between(current, wanted)) {
    const bool waits = std::ranges::find(left, change.key, &Change::key) != left.end();
    plan.lines.push_back(change.key + ": " + (change.from.empty() ? "none" : change.from) + " -> " +
                         (change.to.empty() ? "none" : change.to) +
                         (waits ? " (after a restart)" : ""));
  }
  return plan;
}

}  // namespace batchproxy
