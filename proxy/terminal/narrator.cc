// proxy/terminal/narrator.cc - the sentences, and when each is due.
#include "proxy/terminal/narrator.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace batchproxy {

namespace {

using spdlog::level::err;
using spdlog::level::info;
using spdlog::level::warn;

constexpr double kAnnounceAnyway =
    10;  // seconds after which a backend that stays away is not waited for
constexpr double kRefusalsPause = 10;  // seconds between two lines about requests refused

std::string with_url(const BackendRecord& backend) {
  if (backend.endpoint->url().empty()) return backend.name();  // it is nowhere yet
  return fmt::format("{} ({})", backend.name(), backend.endpoint->url());
}

void add(std::string& list, std::uint64_t count, std::string_view what) {
  if (count > 0) list += fmt::format("{}{} {}", list.empty() ? "" : ", ", count, what);
}

// How its calls have failed since `last`.
std::string failed_calls(const BackendSnapshot& last, const BackendSnapshot& now) {
  std::string reasons;
  for (std::size_t i = 0; i < kCallFailures; ++i) {
    add(reasons, now.failed_attempts[i] - last.failed_attempts[i],
        to_string(static_cast<CallFailure>(i)));
  }
  return reasons;
}

// Engines of ours in these states, which may fare like `engine`, which is none of them.
std::vector<std::string> others_in(std::initializer_list<BackendState> states,
                                   const BackendRecord& engine, const Roster& roster) {
  std::vector<std::string> names;
  for (const BackendPtr& one : roster.present()) {
    const bool is_ours = one->origin == BackendOrigin::kLaunched;
    const bool is_in = std::ranges::count(states, one->state) > 0;
    if (is_ours && is_in && one->id() != engine.id()) names.push_back(one->name());
  }
  return names;
}

// No byte comes of what it has: told when that begins, and once a minute while it lasts.
bool goes_on_quiet(const BackendSnapshot& last, const BackendSnapshot& now) {
  const bool is_silent = now.condition == Condition::kQuiet || now.condition == Condition::kStuck;
  if (!is_silent || now.inflight == 0) return false;
  if (now.condition == Condition::kQuiet && last.condition != Condition::kQuiet) return true;
  const auto minute = [](const BackendSnapshot& one) { return std::floor(one.quiet.real() / 60); };
  return minute(now) > minute(last);
}

}  // namespace

void log(const Lines& lines) {
  for (const Line& line : lines) spdlog::log(line.level, "{}", line.text);
}

Lines tell_stall(const BackendRecord& backend, const Stall& stall) {
  if (!stall.stuck) return {{info, backend.name() + " moves again"}};
  if (stall.again) return {};
  return {
      {warn, fmt::format("{} stands still: {} prompts without a byte of an answer for {:.1f} s. "
                         "Other backends are asked for them if they can serve them. This one "
                         "gets a request now and then until it moves (stuck_timeout)",
                         with_url(backend), stall.inflight,
                         std::chrono::duration<double>(stall.quiet).count())}};
}

Lines tell_move(const BackendRecord& backend, const std::string& news) {
  if (news.empty()) return {};
  return {{info, fmt::format("engine {} {}", backend.name(), news)}};
}

Lines tell_of_key(const BackendRecord& backend, bool was_keyed, bool have_keys) {
  if (!backend.keyed) {
    if (!was_keyed) return {};
    return {
        {info, backend.name() +
                   " lists its models again: it needs no key, or takes the one that it is given"}};
  }
  if (have_keys) {
    return {
        {warn, backend.name() +
                   " asks for an API key and will refuse every request, as clients' keys are not "
                   "passed on. Write its own key as backends[].api_key"}};
  }
  return {
      {warn, backend.name() +
                 " asks for an API key. It gets each client's own key. Unless its models are "
                 "configured, it gets requests for those that no backend lists. To send one key "
                 "for all, write it as backends[].api_key"}};
}

Lines tell_all_lost(bool any_was_up, double hold_timeout) {
  if (!any_was_up) return {{err, "no engine has started; stopping"}};
  return {{err, fmt::format("no engine is left, and none is started again by itself. Start one: "
                            "POST /admin/engines/start on the admin address. Until then a request "
                            "waits up to {:g} s (hold_timeout) and is then "
                            "told to try again (503 no_backend)",
                            hold_timeout)}};
}

void Narrator::begin(const Snapshot& now) {
  last_ = now;
  last_refusals_.uptime = -kRefusalsPause;
}

// Until all are up it is told how far they are; the last one is told by the announcement.
Lines Narrator::first_ready(const BackendRecord& now, const Roster& roster) const {
  const std::size_t ready = roster.ready().size(), all = roster.present().size();
  if (now.origin == BackendOrigin::kLaunched || ready == all) return {};
  return {{info, fmt::format("{} is ready ({} of {})", now.name(), ready, all)}};
}

// While an engine of ours loads, and once it has ended, the launcher's own lines tell of it.
Lines Narrator::on_step(const BackendRecord& before, const BackendRecord& now,
                        const Roster& roster) {
  if (now.is_ready()) {
    failures_.on_up(now.name());
    if (!announced_) return first_ready(now, roster);
    return {{info, fmt::format("{} is ready{}", now.name(), before.was_ready ? " again" : "")}};
  }
  if (!serving_ || now.state != BackendState::kUnready) return {};
  return {{warn, fmt::format("{} is not ready: {}. No requests are sent to it until it is",
                             with_url(now), now.why)}};
}

Lines Narrator::on_failed_start(const BackendRecord& engine, const EngineFailure& failure,
                                const std::optional<Duration>& next, const Roster& roster,
                                TimePoint now) {
  const auto others =
      others_in({BackendState::kStarting, BackendState::kRestarting}, engine, roster);
  return failures_.on_failed(engine.name(), failure, next, others, now);
}

Lines Narrator::on_exited(const BackendRecord& engine, const EngineFailure& failure,
                          const std::string& log_file, const std::optional<Duration>& next,
                          const Roster& roster, TimePoint now) {
  const auto others = others_in({BackendState::kReady, BackendState::kUnready,
                                 BackendState::kPaused, BackendState::kDraining},
                                engine, roster);
  return failures_.on_ended(engine.name(), failure, log_file, next, others, now);
}

Lines Narrator::on_all_lost(bool any_was_up, double hold_timeout, TimePoint now) {
  failures_.forget_lost();
  Lines lines = failures_.tell_all(now);
  std::ranges::move(tell_all_lost(any_was_up, hold_timeout), std::back_inserter(lines));
  return lines;
}

Lines Narrator::on_ready_set(bool any_ready, std::uint64_t held, double hold_timeout) {
  if (!announced_ || !serving_ || outage_ != any_ready) return {};
  outage_ = !outage_;
  if (!outage_) {
    return {{info, fmt::format("a backend is ready again; {} requests have waited for it", held)}};
  }
  return {{err, fmt::format("no backend is ready; requests wait for one for up to {:g} s "
                            "(hold_timeout)",
                            hold_timeout)}};
}

bool Narrator::announces(const Snapshot& now) {
  const auto count = [&now](BackendState state) {
    return std::ranges::count(now.backends, state, &BackendSnapshot::state);
  };
  const auto ready = count(BackendState::kReady);
  const auto known = ready + count(BackendState::kFailed);
  const bool complete = static_cast<std::size_t>(known) == now.backends.size();
  if (announced_ || ready == 0 || !(complete || now.uptime > kAnnounceAnyway)) return false;
  announced_ = true;
  return true;
}

Lines Narrator::on_tick(const Snapshot& now, TimePoint at) {
  Lines lines = failures_.on_tick(at);
  std::ranges::move(failures(now), std::back_inserter(lines));
  last_ = now;
  std::ranges::move(refusals(now), std::back_inserter(lines));
  return lines;
}

// Once a second, so that a backend that dies with a hundred requests gets one line.
Lines Narrator::failures(const Snapshot& now) const {
  Lines lines;
  for (const BackendSnapshot& backend : now.backends) {
    const auto before = std::ranges::find_if(last_.backends, [&](const BackendSnapshot& other) {
      return other.id == backend.id && other.name == backend.name;
    });
    // The counts of one that is new are those of the one whose id it has.
    const BackendSnapshot& last = before == last_.backends.end() ? backend : *before;
    if (const std::string reasons = failed_calls(last, backend); !reasons.empty()) {
      lines.push_back(
          {warn, fmt::format("{}: calls failed: {}; requests are sent again where they can be",
                             backend.name, reasons)});
    }
    if (goes_on_quiet(last, backend)) {
      lines.push_back({warn, backend.name + ": " + silence_of(backend)});
    }
    // That one stands still, or is down, is told when it is seen.
    const auto is_told = [](const BackendSnapshot& one) {
      return one.stuck || one.state != BackendState::kReady;
    };
    if (backend.breaker_open && !last.breaker_open && !is_told(backend)) {
      lines.push_back({warn, backend.name +
                                 ": its calls keep failing: it gets one request now and then until "
                                 "one is answered"});
    } else if (!backend.breaker_open && last.breaker_open && !is_told(last)) {
      lines.push_back({info, backend.name + ": its calls are answered again"});
    }
  }
  if (now.poisoned > last_.poisoned) {
    lines.push_back(
        {err, fmt::format("{} requests brought down three engines each and are not sent again",
                          now.poisoned - last_.poisoned)});
  }
  return lines;
}

// Requests that no engine was asked about. A worker with a wrong key or model name sees its errors,
// but whoever looks here wants to know, too, and that there is more to do than can be done.
Lines Narrator::refusals(const Snapshot& now) {
  if (now.uptime < last_refusals_.uptime + kRefusalsPause) return {};
  std::string refusals;
  for (std::size_t i = 0; i < kAllErrors.size(); ++i) {
    if (describe(kAllErrors[i]).asked) continue;
    add(refusals, now.errors[i] - last_refusals_.errors[i], describe(kAllErrors[i]).code);
  }
  if (refusals.empty()) return {};
  last_refusals_ = now;
  return {{warn, "requests refused: " + refusals}};
}

}  // namespace batchproxy
