// tests/fault_sim/fake_server.h - an engine in memory: takes calls, answers them, or does not.
//
// Threading: test code, one thread.
#pragma once

#include <map>
#include <string>

#include "backends/call/call_failure.h"
#include "backends/health/health_tracker.h"
#include "batcher/engine/room.h"
#include "tests/fault_sim/virtual_time.h"

namespace batchproxy::fault_sim {

// What a request is, as only the servers and the checks know.
enum class Marker { kInnocent, kPoison, kAlways400, kAlways500 };

struct Reply {
  CallFailure failure = CallFailure::kNone;
  unsigned status = 0;
  Duration wait{};         // Retry-After
  bool says_dead = false;  // as vLLM does: a 500 that tells that its engine has ended
};

class Caller {
 public:
  virtual void on_head(std::uint64_t call) = 0;  // a stream begins
  virtual void on_reply(std::uint64_t call, const Reply& reply) = 0;
  virtual void on_killed_engine() = 0;

 protected:
  ~Caller() = default;
};

struct ServerCall {
  std::uint64_t number = 0;  // the caller's
  Caller* caller = nullptr;
  Marker marker = Marker::kInnocent;
  bool streaming = false;
  bool began = false;
};

enum class Mood { kWell, kSlow, kHangs, kServerErrors, kGarbage, kBusy, kBareErrors, kNotReady };

class FakeServer {
 public:
  FakeServer(VirtualTime& time, Dice& dice, std::string name)
      : time_(time), dice_(dice), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  bool listens() const { return listens_; }

  // False: nobody listens.
  bool take(const ServerCall& call);
  void hang_up(const Caller* caller, std::uint64_t number);
  ProbeResult probe();
  // What its metrics tell.
  EngineSample sample();

  // All that it works on is lost; it is back after `away`.
  void crash(Duration away);
  void start();
  void set_mood(Mood mood);
  // From now on a poison does it no harm.
  void make_immune() { immune_ = true; }

 private:
  void work(std::uint64_t id);
  void answer_in(Duration wait, std::uint64_t id, const Reply& reply);
  void answer(std::uint64_t id, const Reply& reply);

  VirtualTime& time_;
  Dice& dice_;
  const std::string name_;
  bool listens_ = true;
  Mood mood_ = Mood::kWell;
  bool immune_ = false;
  unsigned lives_ = 0;
  std::uint64_t last_id_ = 0;
  std::uint64_t steps_ = 0;
  std::map<std::uint64_t, ServerCall> calls_;
};

}  // namespace batchproxy::fault_sim
