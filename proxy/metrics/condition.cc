// proxy/metrics/condition.cc - see condition.h.
#include "proxy/metrics/condition.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "configs/text/figures.h"
#include "proxy/metrics/snapshot.h"

namespace batchproxy {

namespace {

constexpr double kSlowTimes = 2;           // as long as the others' answers
constexpr std::uint64_t kFewAnswers = 5;   // in the last minute: fewer say nothing
constexpr double kLeastQuiet = 5;          // seconds
constexpr double kLeastQuietAtFirst = 30;  // while nobody knows how long its answers take
constexpr double kQuietTimes = 3;          // of what nearly all answers take
constexpr double kLeastSlow = 0.1;         // seconds: below that nobody minds

struct ConditionRow {
  Condition id{};
  std::string_view word{};
};
constexpr EnumTable<ConditionRow> kConditions({
    {Condition::kFine, "fine"},
    {Condition::kQuiet, "quiet"},
    {Condition::kSlow, "slow"},
    {Condition::kStuck, "stuck"},
    {Condition::kFailing, "failing"},
    {Condition::kUntended, "untended"},
    {Condition::kLoading, "loading"},
    {Condition::kPaused, "paused"},
    {Condition::kStopping, "stopping"},
    {Condition::kStopped, "stopped"},
    {Condition::kDown, "down"},
});

bool is_quiet(const BackendSnapshot& backend) {
  const double least = backend.trend.answers > 0 ? kLeastQuiet : kLeastQuietAtFirst;
  return backend.inflight > 0 && backend.quiet.real() >= least &&
         backend.quiet.real() > kQuietTimes * backend.trend.p95;
}

// How a backend fares whose state alone does not say it.
Condition condition_of(const BackendSnapshot& backend) {
  switch (backend.state) {
    case BackendState::kReady:
      if (backend.stuck) return Condition::kStuck;
      if (backend.breaker_open) return Condition::kFailing;
      if (is_quiet(backend)) return Condition::kQuiet;
      return backend.silence.empty() ? Condition::kFine : Condition::kUntended;
    case BackendState::kConfigured:
    case BackendState::kStarting:
    case BackendState::kRestarting:
      return Condition::kLoading;
    case BackendState::kPaused:
      return Condition::kPaused;
    case BackendState::kStopping:
      return Condition::kStopping;
    case BackendState::kStopped:
      return Condition::kStopped;
    case BackendState::kUnready:
    case BackendState::kDraining:
    case BackendState::kFailed:
    case BackendState::kRemoved:
    case BackendState::kCount:
      break;
  }
  return Condition::kDown;
}

// Why an engine of ours is not there, where more is known than that it has ended.
std::string why_down(const BackendSnapshot& backend) {
  const bool has_ended =
      backend.state == BackendState::kRestarting || backend.state == BackendState::kFailed;
  return has_ended && backend.last_problem ? backend.last_problem->text : backend.problem;
}

std::string own_remark(const BackendSnapshot& backend) {
  switch (backend.condition) {
    case Condition::kStuck:
      // Once others have answered in its place.
      if (backend.inflight == 0 && backend.last_problem) return backend.last_problem->text;
      return silence_of(backend);
    case Condition::kFailing:
      return "its calls fail; it gets one now and then";
    case Condition::kLoading:
      // Before its next start: what is waited for, or why it has ended.
      return backend.doing.empty() ? why_down(backend) : backend.doing;
    case Condition::kDown:
      return is_quiet(backend) ? why_down(backend) + "; " + silence_of(backend) : why_down(backend);
    case Condition::kQuiet:
      return silence_of(backend);
    case Condition::kStopping:
      return backend.doing;
    case Condition::kStopped:
      return fmt::format("{}; `batchproxy engines start {}` starts it",
                         backend.doing.empty() ? "by an order" : backend.doing, backend.name);
    case Condition::kFine:
    case Condition::kSlow:
    case Condition::kUntended:
    case Condition::kPaused:
    case Condition::kCount:
      break;
  }
  return {};
}

std::string remark_on(const BackendSnapshot& backend) {
  const std::string own = own_remark(backend);
  if (own.empty() || backend.silence.empty()) return own + backend.silence;
  return own + "; " + backend.silence;
}

// How long half of the answers of the others that serve the same take, seen from one backend: the
// middle one of them.
std::optional<double> p50_of_others(const Snapshot& now, const BackendSnapshot& one) {
  std::vector<double> times;
  for (const BackendSnapshot& other : now.backends) {
    const bool compares = &other != &one && other.models == one.models &&
                          other.state == BackendState::kReady && other.trend.answers >= kFewAnswers;
    if (compares) times.push_back(other.trend.p50);
  }
  if (times.empty()) return std::nullopt;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>((times.size() - 1) / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

void look_whether_slow(const Snapshot& now, BackendSnapshot& backend) {
  if (backend.condition != Condition::kFine) return;
  // One that has hardly answered is known by what it has in hand.
  const bool has_answered = backend.trend.answers >= kFewAnswers;
  const double takes = has_answered ? backend.trend.p50 : backend.oldest.real();
  if (takes < kLeastSlow) return;
  const std::optional<double> others = p50_of_others(now, backend);
  if (!others || takes <= kSlowTimes * *others) return;
  backend.condition = Condition::kSlow;
  backend.remark = has_answered
                       ? fmt::format("half of its answers take {}, those of others {}",
                                     short_time(takes), short_time(*others))
                       : fmt::format("a request has taken {} so far, half of others' take {}",
                                     short_time(takes), short_time(*others));
}

struct WaitRow {
  WaitsFor id{};
  std::string_view what{};  // they wait for
};
constexpr EnumTable<WaitRow> kWaits({
    {WaitsFor::kNothing, ""},
    {WaitsFor::kModel, "a backend that serves their model"},
    {WaitsFor::kBackend, "a backend: none that serves their model is ready"},
    {WaitsFor::kHealth, "a backend that works: those that are ready are stuck or fail"},
    {WaitsFor::kPause, "the end of a pause: the ready backends take no more for a moment"},
    {WaitsFor::kAlone, "a backend to itself: the oldest was on engines that died"},
    {WaitsFor::kSuspect,
     "a backend: the ready one is kept for a request that was on engines that died"},
    {WaitsFor::kRampUp,
     "room: backends that have just come back are given little at first, each second twice as "
     "much"},
    {WaitsFor::kRoom, "room: the ready backends have as many requests as they take"},
    {WaitsFor::kOthers, "all others to go first: they are of batches"},
    {WaitsFor::kBeginning, "room on the backend that has the beginning of their prompts"},
    {WaitsFor::kCall, "others that share their calls"},
    {WaitsFor::kInTime, "a backend that can answer them in time"},
    {WaitsFor::kBatch, "a batch to fill"},
});

std::string waiting_for(const Snapshot& now) {
  if (now.queued == 0) return {};
  const bool loads = std::ranges::any_of(now.backends, [](const BackendSnapshot& one) {
    return one.condition == Condition::kLoading;
  });
  if (now.waits_for == WaitsFor::kBackend && !now.any_ready()) {
    return loads ? "an engine that loads" : "a backend: none is ready";
  }
  return std::string(kWaits[now.waits_for].what);
}

}  // namespace

std::string_view to_string(Condition condition) {
  return kConditions[condition].word;
}

std::string silence_of(const BackendSnapshot& backend) {
  return fmt::format("{} prompts without a byte for {:.0f} s", backend.inflight.get(),
                     backend.quiet.real());
}

void judge(Snapshot& now) {
  for (BackendSnapshot& backend : now.backends) {
    backend.condition = condition_of(backend);
    backend.remark = remark_on(backend);
  }
  for (BackendSnapshot& backend : now.backends) {
    look_whether_slow(now, backend);
    backend.slow = backend.condition == Condition::kSlow ? 1 : 0;
  }
  now.waiting_for = waiting_for(now);
}

}  // namespace batchproxy
