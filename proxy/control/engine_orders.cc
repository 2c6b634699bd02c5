// proxy/control/engine_orders.cc - see engine_orders.h.
#include "proxy/control/engine_orders.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "configs/text/nearest_name.h"

namespace batchproxy {

namespace {

constexpr Duration kLook = std::chrono::milliseconds(50);
constexpr std::string_view kPath = "/admin/engines/";

struct VerbRow {
  EngineVerb id{};
  std::string_view word{};
};
constexpr EnumTable<VerbRow> kVerbs({
    {EngineVerb::kPause, "pause"},
    {EngineVerb::kResume, "resume"},
    {EngineVerb::kStop, "stop"},
    {EngineVerb::kStart, "start"},
    {EngineVerb::kRestart, "restart"},
});

bool is_down(BackendState state) {
  return state == BackendState::kStopped || state == BackendState::kStopping ||
         state == BackendState::kFailed || state == BackendState::kRestarting;
}

std::string_view past_of(EngineVerb verb) {
  return verb == EngineVerb::kStop ? "stopped" : "restarted";
}

void report(std::exception_ptr error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    spdlog::error("internal error in an order for an engine: {}", exception.what());
  }
}

}  // namespace

std::string_view to_string(EngineVerb verb) {
  return kVerbs[verb].word;
}

std::string engine_verbs() {
  std::vector<std::string_view> words;
  for (const EngineVerb verb : kAll<EngineVerb>) words.push_back(to_string(verb));
  return join(words);
}

std::optional<EngineOrder> read_engine_order(std::string_view path) {
  if (!path.starts_with(kPath)) return std::nullopt;
  path.remove_prefix(kPath.size());
  const auto slash = path.rfind('/');
  const std::string_view word = slash == path.npos ? path : path.substr(slash + 1);
  for (const EngineVerb verb : kAll<EngineVerb>) {
    if (to_string(verb) != word) continue;
    return EngineOrder{verb, std::string(slash == path.npos ? "" : path.substr(0, slash))};
  }
  return std::nullopt;
}

Result<std::vector<BackendId>> EngineOrders::engines_of(const EngineOrder& order) const {
  std::vector<BackendId> found;
  std::vector<std::string> names;
  const RosterPtr roster = hooks_.roster();
  for (const BackendPtr& backend : roster->present()) {
    if (backend->origin != BackendOrigin::kLaunched) continue;
    names.push_back(backend->name());
    const bool meant = order.engine.empty() || order.engine == backend->name() ||
                       "engine-" + order.engine == backend->name();
    if (meant) found.push_back(backend->id());
  }
  if (names.empty()) {
    return Error{Errc::kUnknownRoute,
                 "This batchproxy has started no engines. Whoever has started the backends "
                 "restarts them."};
  }
  if (found.empty()) {
    return Error{Errc::kUnknownRoute, "There is no engine " + order.engine + ". There are " +
                                          join({names.begin(), names.end()}) + "."};
  }
  return found;
}

Result<std::string> EngineOrders::give(const EngineOrder& order) {
  const Result<std::vector<BackendId>> engines = engines_of(order);
  if (!engines) return engines.error();
  if (engines->size() == 1) return begin(order.verb, *hooks_.roster()->all()[engines->front()]);
  if (order.verb == EngineVerb::kRestart) {
    if (std::exchange(rolling_, true)) {
      return Error{Errc::kInvalidRequest, "A rolling restart is under way already."};
    }
    asio::co_spawn(io_.get_executor(), take_turns(*engines), &report);
    return fmt::format("{} engines are restarted one after the other", engines->size());
  }
  for (const BackendId id : *engines) begin(order.verb, *hooks_.roster()->all()[id]);
  return fmt::format("{} engines: {}", engines->size(), to_string(order.verb));
}

std::string EngineOrders::begin(EngineVerb verb, const BackendRecord& engine) {
  const BackendId id = engine.id();
  const bool may_wait = verb == EngineVerb::kPause || verb == EngineVerb::kResume;
  if (const auto ending = ending_.find(id); ending != ending_.end() && !may_wait) {
    return fmt::format("{} is to be {} already, by an order before", engine.name(),
                       past_of(ending->second));
  }
  switch (verb) {
    case EngineVerb::kPause:
      hooks_.step(id, BackendEvent::kPauseAsked);
      return engine.name() + " gets no more requests until it is resumed";
    case EngineVerb::kResume:
      hooks_.step(id, BackendEvent::kResumeAsked);
      return engine.name() + " gets requests again";
    case EngineVerb::kStart:
      if (!is_down(engine.state)) return engine.name() + " runs";
      if (engine.state == BackendState::kStopping) {
        hooks_.step(id, BackendEvent::kRestartPlanned);
        hooks_.start_again(id);
        return engine.name() + " is started once its last run has ended";
      }
      hooks_.start_again(id);
      return engine.name() + " is started";
    case EngineVerb::kStop:
      if (engine.state == BackendState::kStopped) return engine.name() + " is stopped already";
      if (engine.state == BackendState::kStopping) return engine.name() + " is stopping already";
      break;
    case EngineVerb::kRestart:
      break;
    case EngineVerb::kCount:
      return {};
  }
  ending_[id] = verb;
  if (verb == EngineVerb::kRestart) {
    asio::co_spawn(io_.get_executor(), restart(id, /*is_rolling=*/false), &report);
  } else {
    asio::co_spawn(io_.get_executor(), end_process(id, verb), &report);
  }
  return fmt::format("{} finishes its requests, then it is {}", engine.name(), past_of(verb));
}

Task<void> EngineOrders::end_process(BackendId engine, EngineVerb verb) {
  hooks_.step(engine, BackendEvent::kPauseAsked);
  const TimePoint until = std::chrono::steady_clock::now() + hooks_.drain_timeout();
  while (hooks_.in_use(engine) && hooks_.is_well(engine) &&
         std::chrono::steady_clock::now() < until) {
    co_await sleep();
  }
  if (verb == EngineVerb::kStop) {
    hooks_.step(engine, BackendEvent::kStopAsked);
    hooks_.stop(engine);
  } else {
    hooks_.step(engine, BackendEvent::kRestartPlanned);
    hooks_.start_again(engine);
  }
  ending_.erase(engine);
}

// Ends when the engine is up again, or will not come up.
Task<void> EngineOrders::restart(BackendId engine, bool is_rolling) {
  // Two at once are down only by two orders that each name one.
  while ((is_rolling || rolling_) && is_other_away(engine)) co_await sleep();
  away_.push_back(engine);
  co_await end_process(engine, EngineVerb::kRestart);
  while (is_on_its_way(engine)) co_await sleep();
  away_.erase(std::ranges::find(away_, engine));
}

bool EngineOrders::is_other_away(BackendId engine) const {
  return std::ranges::any_of(away_, [engine](BackendId other) { return other != engine; });
}

bool EngineOrders::is_on_its_way(BackendId engine) const {
  const BackendState state = (*hooks_.roster())[engine].state;
  return state != BackendState::kReady && state != BackendState::kFailed &&
         state != BackendState::kStopped;
}

Task<void> EngineOrders::take_turns(std::vector<BackendId> engines) {
  for (const BackendId engine : engines) {
    co_await restart(engine, /*is_rolling=*/true);
    const BackendRecord now = (*hooks_.roster())[engine];
    if (now.state == BackendState::kReady) continue;
    spdlog::error("{} is not ready after its restart; the rolling restart ends here", now.name());
    break;
  }
  rolling_ = false;
}

Task<void> EngineOrders::sleep() {
  asio::steady_timer timer(io_, kLook);
  ErrorCode ignored;
  co_await timer.async_wait(asio::redirect_error(use_task, ignored));
}

}  // namespace batchproxy
