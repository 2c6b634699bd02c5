// batcher/fleet/retry_budget.cc - see retry_budget.h.
#include "batcher/fleet/retry_budget.h"

namespace batchproxy {

namespace {
std::int64_t second_of(TimePoint now) {
  return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
}
}  // namespace

void RetryBudget::on_success(TimePoint now) {
  ++second(now).successes;
}

bool RetryBudget::spend(TimePoint now) {
  Second& current = second(now);
  std::uint64_t successes = 0, retries = 0;
  for (const Second& each : seconds_) {
    if (current.which - each.which >= static_cast<std::int64_t>(kSeconds)) continue;
    successes += each.successes;
    retries += each.retries;
  }
  if (retries >= successes / kSuccessesPerRetry + kFreePerSecond * kSeconds) return false;
  ++current.retries;
  return true;
}

RetryBudget::Second& RetryBudget::second(TimePoint now) {
  const std::int64_t which = second_of(now);
  Second& found = seconds_[static_cast<std::size_t>(which) % kSeconds];
  if (found.which != which) found = {which, 0, 0};
  return found;
}

}  // namespace batchproxy
