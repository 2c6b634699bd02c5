// backends/sim/engine_driver.h - runs a ServerModel against the wall clock: one timer, set to the
// model's next event.
//
// Deadlines are computed from the model's own time, never from when a timer happened to fire, so a
// late timer does not make the simulated engine slower.
//
// Threading: confined to the io_context's one thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "backends/sim/api/api.h"
#include "backends/sim/model/server_model.h"

namespace batchproxy::sim {

// A call that a session waits for. The session waits on `changed` until there is something to do.
struct PendingCall {
  PendingCall(const boost::asio::any_io_executor& executor, CallId call_id,
              std::unique_ptr<ApiCall> api_call);

  void wake() { changed.cancel(); }

  const CallId id;
  const std::unique_ptr<ApiCall> call;
  std::string events;  // of a stream, not yet written
  bool started = false;
  bool done = false;    // answered in full
  bool failed = false;  // the engine has died under it
  bool client_gone = false;
  boost::asio::steady_timer changed;
};

class EngineDriver {
 public:
  // `real_seconds` is how long a simulated second lasts. All references must outlive this.
  EngineDriver(const boost::asio::any_io_executor& executor, ServerModel& model, Api& api,
               double real_seconds);

  // Puts the call on the engine; null if it could never fit into the KV cache.
  std::shared_ptr<PendingCall> start(std::unique_ptr<ApiCall> call);

  // Takes a call off the engine because its client has gone.
  void cancel(PendingCall& pending);

  // The engine has died: all that it had fail.
  void die();

  // Stops and resumes the engine's time.
  void set_hanging(bool hanging);

 private:
  using Clock = std::chrono::steady_clock;

  double virtual_now() const;
  Clock::time_point real_time(double virtual_time) const;
  void advance();
  void deliver(const Delivery& delivery);
  void arm();

  const boost::asio::any_io_executor executor_;
  ServerModel& model_;
  Api& api_;
  const double real_seconds_;
  boost::asio::steady_timer timer_;
  std::unordered_map<CallId, std::shared_ptr<PendingCall>> pending_;
  Clock::time_point origin_;  // when virtual time was 0
  double hung_at_ = 0;
  bool hanging_ = false;
  CallId next_call_ = 1;
};

}  // namespace batchproxy::sim
