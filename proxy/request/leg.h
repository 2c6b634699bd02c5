// proxy/request/leg.h - Leg: carries out what a LegCore decides: waits for the lane, calls a
// backend, alone or in a merged call, and asks the monitor.
//
// The fields of Leg are the core and one handle for each thing that the core may have under way: a
// call, a merged answer, a look, a leg beside.
//
// Threading: confined to one I/O thread, except what the thread of a merged call uses
// (merged_call.h), as said there.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "backends/call/attempts.h"
#include "backends/call/list_codec.h"
#include "backends/call/upstream_call.h"
#include "backends/net/waiter.h"
#include "batcher/base/ticket.h"
#include "proxy/request/leg_core.h"
#include "proxy/request/merged_answer.h"
#include "proxy/request/request_phase.h"
#include "proxy/thread/in_flight.h"
#include "proxy/thread/io_thread.h"
#include "proxy/trace/request_trace.h"
#include "proxy/wire/client_request.h"

namespace batchproxy {

class Leg final : public VerdictSink, private InFlight {
 public:
  using Ending = LegCore::Ending;

  // The bytes that a call sends, and what a merged call needs to know of its member.
  struct Load {
    const ClientRequest* request = nullptr;
    BodyParts parts;            // around its prompt, or around the prompts of a piece
    bool tokens = false;        // the prompt is a list of token ids
    std::uint32_t piece = 0;    // of the request's list, from 1; 0: it goes out whole
    std::uint32_t choices = 1;  // asked for per prompt

    // The body as it goes out alone.
    SplicedBody body() const;
  };

  // `attempts`: of its job. Must outlive it, as must `phase` and `trace`.
  Leg(IoThread& thread, RequestPhase& phase, RequestTrace& trace, Load load, Attempts& attempts);
  // A second leg of the same job, beside the first, which must outlive it. No copy of it.
  struct BesideTag {};
  Leg(BesideTag, Leg& first);
  ~Leg();
  Leg(const Leg&) = delete;
  Leg& operator=(const Leg&) = delete;

  Ticket& ticket() { return core_.ticket(); }
  const Ticket& ticket() const { return core_.ticket(); }

  // These are as Job's.
  Task<Ending> run();
  void cancel(bool client_left = false);
  void end_stream(bool ok);

  // This leg, or the one beside it whose outcome counts.
  const Leg& answered_by() const;
  // Of this leg's own last call.
  const AnswerHead& answer() const { return merged_ ? merged_->head->head() : call_->head(); }
  std::string_view body() const { return merged_ ? merged_->body : call_->body(); }
  bool exact_usage() const { return !merged_ || merged_->exact_usage; }
  UpstreamCall& stream() { return *call_; }
  Error error() const;
  const Endpoint& backend() const { return *backend_; }
  const BatchInfo& batch() const { return batch_; }

  // Threading: any thread, from the verdict until fill().
  const Load& load() const { return load_; }
  TimePoint deadline() const { return ticket().deadline; }
  std::string trace_line() const;  // for the engine; empty for what is part of no trace
  bool has_left() const { return left_.load(std::memory_order_relaxed); }
  // Threading: any thread, exactly once per merged call; the leg may be gone afterwards.
  void fill(std::unique_ptr<const MergedAnswer> answer);

 private:
  struct Beside;
  struct Look;

  void act(LegCore::Act act);

  void submit() { thread_.lane->submit(ticket()); }
  void on_returned(Ticket& ticket) override;
  void release(Outcome outcome, Duration pause = {});

  Task<CallFailure> call();
  Task<CallFailure> call_alone();
  Task<CallFailure> call_merged();
  std::string next_call_id();
  CallFailure check_answer();
  LegCore::CallEnd end_of_call(CallFailure failure) const;

  BackendId called() const override { return ticket().verdict.backend; }
  void on_stuck() override { act(core_.on_stuck(thread_.published.roster->ready())); }
  void on_recall(const Recall& recall) override { act(core_.on_recall(recall)); }

  void begin_look();
  void end_look(bool is_ready);
  void ask_beside();
  Task<void> run_beside();
  Task<void> join();

  void tell(const LegCore::Report& report);
  Error error_of_nobody() const;
  void note_attempt(CallFailure failure, unsigned status);
  void note_fault();
  void note_poison();

  IoThread& thread_;
  RequestPhase& phase_;
  RequestTrace& trace_;
  const Load load_;
  LegCore core_;
  Waiter waiter_;  // for whatever the core waits for
  std::atomic<bool> left_{false};
  bool streams_ = false;  // the answer under way is passed on as it comes
  bool joins_ = false;    // the leg beside is waited for
  unsigned calls_ = 0;    // of its own, for their ids
  Leg* const before_ = nullptr;
  std::shared_ptr<const Endpoint> backend_;
  BatchInfo batch_;
  // Apart from the rest, which is all that a hundred thousand waiting requests should cost.
  std::unique_ptr<UpstreamCall> call_;
  std::unique_ptr<const MergedAnswer> merged_;
  std::unique_ptr<const AnswerFault> fault_;  // of the last attempt, if it was a kBadAnswer
  std::unique_ptr<Beside> beside_;
  std::unique_ptr<Look> look_;
};

}  // namespace batchproxy
