// tests/fault_sim/sim_job.h - SimLeg and SimJob: drive LegCores (proxy/request/leg_core.h) in
// virtual time, against fake servers, as Leg and Job do with sockets.
//
// They decide nothing. What they do besides is to count for themselves what the checks need.
//
// Threading: test code, one thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "proxy/request/leg_core.h"
#include "proxy/request/request_phase.h"
#include "tests/fault_sim/sim_thread.h"

namespace batchproxy::fault_sim {

class SimJob;

class SimLeg final : public VerdictSink, public Caller, private InFlight {
 public:
  using Ending = LegCore::Ending;

  SimLeg(SimJob& job, Attempts& attempts);
  explicit SimLeg(SimLeg& before);
  SimLeg(const SimLeg&) = delete;
  SimLeg& operator=(const SimLeg&) = delete;

  Ticket& ticket() { return core_.ticket(); }
  const LegCore& core() const { return core_; }
  const SimLeg& answered_by() const;
  const Reply& reply() const { return reply_; }

  Marker marker() const;

  void run(std::function<void(Ending)> done);
  void cancel(bool client_left);
  // As Leg's; `from`: the leader's thread.
  void fill(SimThread& from, const Reply& reply);
  void on_killed_engine() override;

 private:
  void obey(LegCore::Do next);
  void act(LegCore::Act act);
  void submit();
  void on_returned(Ticket& ticket) override;
  void call();
  void call_merged();
  void take_share(const Reply& reply);
  void end_call(const Reply& reply);
  void on_head(std::uint64_t call) override;
  void on_reply(std::uint64_t call, const Reply& reply) override;
  BackendId called() const override { return core_.ticket().verdict.backend; }
  void on_stuck() override;
  void on_recall(const Recall& recall) override { act(core_.on_recall(recall)); }
  void begin_look();
  void end_look(std::uint64_t look, std::optional<bool> is_ready);
  void ask_beside();
  void join();
  void on_beside_ended();
  void tell(const LegCore::Report& report);
  void count(const LegCore::Report& report);
  void end_stream();

  SimJob& job_;
  SimThread& thread_;
  LegCore core_;
  SimLeg* const before_ = nullptr;
  std::unique_ptr<SimLeg> beside_;
  bool beside_ended_ = false;
  bool joins_ = false;
  FakeServer* backend_ = nullptr;
  bool calling_ = false, arrived_ = false, streams_ = false;
  std::uint64_t calls_ = 0, looks_ = 0;
  bool looking_ = false;
  bool waits_for_share_ = false;
  std::optional<Reply> share_;  // of a merged call; may be here before the verdict
  Reply reply_{.failure = CallFailure::kAborted};
  std::function<void(Ending)> done_;
};

class SimJob {
 public:
  using Ending = LegCore::Ending;

  SimJob(SimThread& thread, RequestPhase& phase, Marker marker, std::uint64_t content_key);

  Ticket& ticket() { return leg_.ticket(); }
  // `done` is told the outcome; after kStream, `stream_done` whether it ended well.
  void run(std::function<void(Ending)> done, std::function<void(bool)> stream_done);
  void cancel(bool client_left = false) { leg_.cancel(client_left); }

  unsigned status() const { return leg_.answered_by().core().status(); }
  // Of kFailed.
  Errc error() const;
  // Throws if an end without success was not called for.
  void check_ending(Ending outcome, bool patient) const;
  unsigned engines_killed() const { return engines_killed_; }

 private:
  friend class SimLeg;

  SimThread& thread_;
  RequestPhase& phase_;
  const Marker marker_;
  const std::uint64_t content_key_;
  Attempts attempts_;
  SimLeg leg_;
  bool ended_ = false;
  std::function<void(bool)> stream_done_;
  std::vector<std::unique_ptr<SimLeg>> old_;  // legs that have ended, whose timers may still ring

  // For the checks, counted apart from Attempts.
  unsigned reached_ = 0;  // servers that took it
  Tried tried_;
  unsigned engines_killed_ = 0;
  BackendSet failed_by_;
};

}  // namespace batchproxy::fault_sim
