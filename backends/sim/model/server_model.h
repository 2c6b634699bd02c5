// backends/sim/model/server_model.h - one whole simulated server, front end and engine, in virtual
// time.
//
// Sans-io: the driver passes the time in, sleeps until next_event() and calls advance(), which
// processes everything due in order of its own time. A driver that comes late therefore does not
// make the server slower. Used live (server.cc) and in pure virtual time (policy benchmarks).
//
// Threading: confined to the caller.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "backends/sim/model/engine_model.h"
#include "backends/sim/model/front_end.h"

namespace batchproxy::sim {

using CallId = std::uint64_t;

// What one prompt of a call asks of the engine. See EngineRequest.
struct Work {
  int prompt_tokens = 0;
  int output_tokens = 0;
  std::vector<BlockHash> blocks;
};

// Something of a call leaves the server. With `stream` every token does; else only the whole
// answer.
struct Delivery {
  double at;
  CallId call;
  int item;    // index of the Work within its call
  int tokens;  // of this item, so far
  bool item_finished;
  bool call_finished;
};

class ServerModel {
 public:
  ServerModel(const Hardware& hardware, const EngineLimits& limits, const FrontEndCosts& costs);

  // A call arrives; `call` must be new. Everything due before `now` must have been advanced.
  // False, and nothing happens, if one of its items could never fit into the KV cache.
  bool begin_call(CallId call, std::vector<Work> items, bool stream, double now);

  // The client has gone: its items leave the engine, nothing more is delivered.
  void cancel_call(CallId call);

  // When advance() next has something to do, if nothing is called before.
  std::optional<double> next_event() const;

  // Processes everything up to and including `now`. Valid until the next call of any function.
  std::span<const Delivery> advance(double now);

  // Calls that have begun and not yet been delivered in full.
  std::size_t open_calls() const { return calls_.size(); }
  const EngineModel& engine() const { return engine_; }

 private:
  struct Call {
    EngineRequestId first_request;
    int items;
    int unfinished;
    bool stream;
  };
  struct Submission {  // on its way from the front end to the engine
    double at;
    EngineRequest request;
  };
  struct Item {
    CallId call;
    int index;
  };

  void start_step(double now);
  void finish_step();
  void on_token(const TokenEvent& token, double now);

  EngineModel engine_;
  FrontEnd front_end_;
  std::unordered_map<CallId, Call> calls_;
  std::unordered_map<EngineRequestId, Item> items_;
  // Both in order of time, because the front end is first in, first out.
  std::deque<Submission> submissions_;
  std::deque<Delivery> outgoing_;
  std::vector<Delivery> delivered_;
  double step_ends_at_ = 0;
  EngineRequestId next_request_ = 1;
};

}  // namespace batchproxy::sim
