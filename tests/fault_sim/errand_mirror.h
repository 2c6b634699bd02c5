// tests/fault_sim/errand_mirror.h - ErrandMirror: what Errand (proxy/request/errand.cc) does with a
// ticket and its Attempts, with events instead of coroutines.
//
// Every member is named like the one that it mirrors. It decides nothing: that is for Scheduler and
// Attempts. What it does besides is to count for itself what the checks need.
//
// Threading: test code, one thread.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "backends/call/attempts.h"
#include "proxy/admin/metrics.h"
#include "proxy/request/errand.h"
#include "proxy/request/poison_list.h"
#include "tests/fault_sim/fake_server.h"
#include "tests/fault_sim/sim_lane.h"

namespace batchproxy::fault_sim {

// What an errand finds on its thread: IoThread (proxy/request/io_thread.h), as far as it matters
// here.
struct ThreadMirror {
  ThreadMirror(VirtualTime& its_time, Dice& its_dice, SimPort& port)
      : time(its_time), dice(its_dice), lane(port), to_control(its_time, its_dice) {}

  VirtualTime& time;
  Dice& dice;
  SimPort& lane;
  Channel to_control;
  ThreadMetrics metrics{};
  ModelTablePtr models = std::make_shared<ModelTable>();
  std::map<BackendId, FakeServer*> upstreams{};
  BackendSet ready{};
  Duration attempt_timeout{};
  bool holds_for_room = true;
  bool shutting_down = false;
  PoisonList* poison = nullptr;
  std::function<void(BackendId, bool)> report_failure{};
  std::function<void(BackendId, std::function<void(bool is_ready)>)> look_at{};
};

class ErrandMirror final : public VerdictSink, public Caller {
 public:
  using Ending = Errand::Ending;

  ErrandMirror(ThreadMirror& thread, RequestPhase& phase, Marker marker, std::uint64_t content_key);
  ErrandMirror(const ErrandMirror&) = delete;
  ErrandMirror& operator=(const ErrandMirror&) = delete;

  Ticket& ticket() { return ticket_; }

  // `done` is told the outcome; after kStream, `stream_done` whether it ended well.
  void run(std::function<void(Ending)> done, std::function<void(bool)> stream_done);
  void cancel(bool client_left = false);

  unsigned status() const { return reply_.status; }
  std::optional<Errc> error() const { return error_; }
  // Throws if an end without success was not called for.
  void check_ending(Ending outcome, bool patient) const;
  unsigned engines_killed() const { return engines_killed_; }

 private:
  void submit();
  void on_returned(Ticket& ticket) override;
  void make_attempt();
  void call_alone();
  void on_head(std::uint64_t call) override;
  void on_reply(std::uint64_t call, const Reply& reply) override;
  void attempt_ended(CallFailure failure);
  void look_after(BackendId backend);
  void after(CallFailure failure);
  Attempt attempt_of(CallFailure failure) const;
  Ending deliver(CallFailure failure);
  Ending refused();
  void release(Outcome outcome, Duration pause = {});
  void end_stream(bool ok);
  TimePoint attempt_deadline() const;
  void end(Ending outcome);
  void on_killed_engine() override;

  ThreadMirror& thread_;
  RequestPhase& phase_;
  const Marker marker_;
  const std::uint64_t content_key_;
  Ticket ticket_;
  Attempts attempts_;
  CallFailure last_ = CallFailure::kAborted;
  bool streams_ = false;
  bool went_down_ = false;
  FakeServer* backend_ = nullptr;
  unsigned with_lane_ = 0;
  bool granted_ = false;
  bool cancelled_ = false;
  bool client_left_ = false;
  bool calling_ = false;
  std::uint64_t calls_ = 0;
  Reply reply_;
  std::optional<Errc> error_;
  std::function<void(Ending)> done_;
  std::function<void(bool)> stream_done_;

  // For the checks, counted apart from Attempts.
  unsigned reached_ = 0;  // servers that took it
  unsigned deaths_ = 0;
  unsigned engines_killed_ = 0;
  BackendSet failed_by_;
  bool ended_ = false;
};

}  // namespace batchproxy::fault_sim
