// proxy/control/engine_orders.h - EngineOrders: what an operator may have done to the engines that
// we have started.
//
//   pause     it gets no more requests, and finishes those that it has
//   resume    it gets requests again
//   stop      pause, wait until it has none, end its process; it stays down
//   start     start one that is down
//   restart   stop, then start
//
// An order waits up to drain_timeout for the requests that the engine has, but not for those of one
// that does not answer its health probe: they would not end. While an engine is to be stopped or
// restarted, further orders but pause and resume change nothing. A rolling restart takes
// the engines one after the other: the next when the last is ready again. While it is under way, or
// before it begins, a restart of a single engine has its turn likewise.
//
// Threading: confined to the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "backends/net/task.h"
#include "backends/roster.h"
#include "batcher/base/enum_table.h"
#include "batcher/base/error.h"
#include "batcher/base/time.h"

namespace batchproxy {

enum class EngineVerb : std::uint8_t { kPause, kResume, kStop, kStart, kRestart, kCount };
std::string_view to_string(EngineVerb verb);
// "pause, resume, stop, start, restart"
std::string engine_verbs();

struct EngineOrder {
  EngineVerb verb = EngineVerb::kRestart;
  std::string engine;  // its name or number; empty: all of them, one after the other
};

// The order in "/admin/engines/engine-1/restart", or "/admin/engines/restart" for all; nothing when
// the path is none.
std::optional<EngineOrder> read_engine_order(std::string_view path);

class EngineOrders {
 public:
  struct Hooks {
    std::function<RosterPtr()> roster;
    std::function<bool(BackendId)> in_use;
    std::function<bool(BackendId)> is_well;  // it answers its probe
    std::function<Duration()> drain_timeout;
    // What becomes of an engine is told to the registry, and done by the launcher.
    std::function<void(BackendId, BackendEvent)> step;
    std::function<void(BackendId)> start_again;  // stopped first if it runs
    std::function<void(BackendId)> stop;
  };

  EngineOrders(asio::io_context& io, Hooks hooks) : io_(io), hooks_(std::move(hooks)) {}

  // What is done from now on, in a sentence, or why nothing is.
  Result<std::string> give(const EngineOrder& order);

 private:
  Result<std::vector<BackendId>> engines_of(const EngineOrder& order) const;
  std::string begin(EngineVerb verb, const BackendRecord& engine);
  Task<void> end_process(BackendId engine, EngineVerb verb);
  Task<void> restart(BackendId engine, bool is_rolling);
  Task<void> take_turns(std::vector<BackendId> engines);
  Task<void> sleep();
  bool is_other_away(BackendId engine) const;
  bool is_on_its_way(BackendId engine) const;

  asio::io_context& io_;
  const Hooks hooks_;
  bool rolling_ = false;
  std::map<BackendId, EngineVerb> ending_;  // stop or restart: its process is to end
  std::vector<BackendId> away_;             // being restarted by an order, once for each such order
};

}  // namespace batchproxy
