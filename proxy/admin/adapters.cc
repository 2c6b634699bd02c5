// proxy/admin/adapters.cc - see adapters.h.
#include "proxy/admin/adapters.h"

#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>

#include "backends/net/waiter.h"

namespace batchproxy {

namespace {

// An adapter is read from a disk, perhaps from one over the network.
constexpr Duration kPatience = std::chrono::seconds(120);
// What they serve is read again at most once a second, so a first look may show what was before.
constexpr int kLooks = 3;
constexpr Duration kLookAgain = std::chrono::milliseconds(1100);

// Those that are asked at the same time.
struct Round {
  std::size_t left = 0;
  Waiter done{};
};

// What it refers to belongs to carry_out(), which waits for it.
Task<void> ask(asio::io_context& io, const AdapterOrder& order,
               std::shared_ptr<const Endpoint> engine, AdapterOutcome& outcome, Round& round) {
  const std::string path(order.path());
  const EngineReply reply = co_await order_engine(io, engine, path, order.json, kPatience);
  outcome = outcome_of(order, engine->name, reply);
  if (--round.left == 0) round.done.wake_later(io.get_executor());
}

Task<void> look(asio::io_context& io, const AdapterHooks& hooks) {
  Waiter looked;
  hooks.refresh_models([&] { looked.wake_later(io.get_executor()); });
  co_await looked.wait();
}

Task<void> sleep(asio::io_context& io, Duration time) {
  asio::steady_timer timer(io, time);
  ErrorCode ignored;
  co_await timer.async_wait(asio::redirect_error(use_task, ignored));
}

// Those of `done` whose list does not show it yet.
BackendSet unseen(const AdapterOrder& order, const ModelTable& models, BackendSet done) {
  if (order.load) return done - models.find(order.name);
  const auto served = models.by_name().find(order.name);
  return served == models.by_name().end() ? BackendSet() : done & served->second;
}

// What is not up cannot be asked. Nobody need wait for it to come back with the adapter: it comes
// without, or says then that it has it.
void forget_where_down(const AdapterHooks& hooks, const AdapterReport& report,
                       const std::vector<BackendPtr>& engines) {
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (report.outcomes[i].kind != AdapterOutcome::Kind::kNotUp) continue;
    hooks.forget_model(engines[i]->id(), report.order.name);
  }
}

}  // namespace

Task<AdapterReport> carry_out(asio::io_context& io, const AdapterHooks& hooks, AdapterOrder order) {
  using Kind = AdapterOutcome::Kind;
  const RosterPtr roster = hooks.roster();
  const std::vector<BackendPtr>& engines = roster->present();
  AdapterReport report{std::move(order), std::vector<AdapterOutcome>(engines.size())};
  Round round;
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (!engines[i]->is_ready()) {
      report.outcomes[i] = not_up(engines[i]->name(), engines[i]->why);
      continue;
    }
    ++round.left;
    asio::co_spawn(io.get_executor(),
                   ask(io, report.order, engines[i]->endpoint, report.outcomes[i], round),
                   &end_on_error);
  }
  if (round.left > 0) co_await round.done.wait();

  BackendSet done;
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (report.outcomes[i].kind == Kind::kDone) done.insert(engines[i]->id());
  }
  if (!report.order.load && !done.empty()) forget_where_down(hooks, report, engines);
  for (int looks = 0; looks < kLooks && !done.empty(); ++looks) {
    if (looks > 0) co_await sleep(io, kLookAgain);
    co_await look(io, hooks);
    done = unseen(report.order, *hooks.roster()->models(), done);
  }
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (!done.contains(engines[i]->id()) || report.outcomes[i].kind != Kind::kDone) continue;
    AdapterOutcome& outcome = report.outcomes[i];
    outcome.kind = Kind::kFailed;
    outcome.message = std::string("its /v1/models ") +
                      (report.order.load ? "does not name" : "still names") +
                      " the adapter, although it said: " + outcome.message;
  }
  co_return report;
}

}  // namespace batchproxy
