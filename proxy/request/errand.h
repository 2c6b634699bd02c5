// proxy/request/errand.h - Errand: one ticket's way through the lane to a backend, and the answer
// it brings back.
//
//   ticket ─▶ wait for the verdict ─▶ call the backend, alone or in a shared call ─▶ answer
//     ▲                                     │
//     └── again, elsewhere if possible, if Attempts (backends/call/attempts.h) says so
//
// When the backend stands still with its call, another is asked as well, by an errand of its own:
// the first answer counts, and the other call is ended.
//
// Threading: confined to one I/O thread, except what the thread of a shared call uses
// (merged_call.h), as said there.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "backends/call/attempts.h"
#include "backends/call/upstream_call.h"
#include "backends/json/list_codec.h"
#include "backends/net/waiter.h"
#include "batcher/ticket.h"
#include "proxy/request/in_flight.h"
#include "proxy/request/io_thread.h"
#include "proxy/wire/client_request.h"

namespace batchproxy {

// Counts a request as queued, or as in flight while at least one of its errands has a backend.
class RequestPhase {
 public:
  explicit RequestPhase(ThreadMetrics& metrics) : metrics_(metrics) { metrics_.queued.add(); }
  ~RequestPhase() {
    Count& phase = calling_ > 0 ? static_cast<Count&>(metrics_.inflight) : metrics_.queued;
    phase.sub();
  }
  RequestPhase(const RequestPhase&) = delete;
  RequestPhase& operator=(const RequestPhase&) = delete;

  void begin_call();
  void end_call();

 private:
  ThreadMetrics& metrics_;
  int calling_ = 0;
};

// The head of a shared call's answer, kept for all its members.
class SharedHead {
 public:
  explicit SharedHead(const AnswerHead& head);
  SharedHead(const SharedHead&) = delete;
  SharedHead& operator=(const SharedHead&) = delete;

  const AnswerHead& head() const { return head_; }

 private:
  std::string text_;  // what head_ has views into
  AnswerHead head_;
};
using SharedHeadPtr = std::shared_ptr<const SharedHead>;

// What a shared call says to one of its members: a failure, or an answer.
struct SharedAnswer {
  CallFailure failure = CallFailure::kNone;
  SharedHeadPtr head{};
  std::string body{};
  bool exact_usage = true;
  AnswerFault fault{};  // of a kBadAnswer
};

class Errand final : public VerdictSink, private InFlight {
 public:
  // What a shared call needs to know of its member.
  struct Load {
    const ClientRequest* request = nullptr;
    BodyParts parts;            // around its prompt, or around the prompts of a piece
    bool tokens = false;        // the prompt is a list of token ids
    std::uint32_t piece = 0;    // of the request's list, from 1; 0: it goes out whole
    std::uint32_t choices = 1;  // asked for per prompt

    // As it goes out alone.
    SplicedBody body() const;
  };

  enum class Ending {
    kAnswer,     // answer() and body()
    kStream,     // the head has come, the rest is to be read from stream()
    kFailed,     // error()
    kCancelled,  // cancel() was called
  };

  Errand(IoThread& thread, RequestPhase& phase, Load load);
  ~Errand();
  Errand(const Errand&) = delete;
  Errand& operator=(const Errand&) = delete;

  // To be filled in before run(): who may serve it, until when, and so on.
  Ticket& ticket() { return ticket_; }
  const Ticket& ticket() const { return ticket_; }

  Task<Ending> run();
  // Nobody wants its answer any more: comes to an end soon. May be called at any time.
  // `client_left`: that is why.
  void cancel(bool client_left = false);
  // The stream is done with; exactly once after kStream.
  void end_stream(bool ok);

  const AnswerHead& answer() const;
  std::string_view body() const;
  bool exact_usage() const { return !shared_ || shared_->exact_usage; }
  UpstreamCall& stream() { return *call_; }
  const Error& error() const { return *error_; }
  unsigned attempts() const;
  // Who was last asked, and in which batch.
  const Endpoint& backend() const;
  const BatchInfo& batch() const;

  // Threading: any thread, from the verdict until fill().
  const Load& load() const { return load_; }
  TimePoint deadline() const { return ticket_.deadline; }
  bool is_cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  // Threading: any thread, exactly once per shared call; the errand may be gone afterwards.
  void fill(std::unique_ptr<const SharedAnswer> answer);

 private:
  // Another errand for the same request, elsewhere.
  struct Second;

  void submit();
  Task<CallFailure> make_attempt();
  BackendId called() const override { return ticket_.verdict.backend; }
  void on_stuck() override;
  void on_recall(const Recall& recall) override;
  void ask_elsewhere(BackendSet others);
  Task<void> run_second();
  void yield();
  void give_up_call(CallFailure why = CallFailure::kStuck);
  Task<void> join();
  Task<bool> settle(Attempts::Next next);
  Task<void> look_after(BackendId backend);
  void note_fault();
  Attempt attempt_of(CallFailure failure, Duration pause) const;
  Outcome outcome_of_end(const Attempt& attempt) const;
  Attempts::Next end_attempt();
  std::optional<Ending> after(Attempts::Next next);
  Ending deliver(CallFailure failure);
  void on_returned(Ticket& ticket) override;
  bool shares_call() const {
    return ticket_.verdict.is_follower || !ticket_.verdict.followers.empty();
  }
  Task<CallFailure> call_alone();
  std::string next_call_id();
  Task<CallFailure> share_call();
  CallFailure check_answer();
  void release(Outcome outcome, Duration pause = {});
  const AnswerHead& own_answer() const;
  // Its own call has an answer that is the client's.
  bool has_answer() const { return last_ == CallFailure::kNone && answer_status() < 500; }
  unsigned answer_status() const;
  Ending refused();

  IoThread& thread_;
  RequestPhase& phase_;
  const Load load_;
  Ticket ticket_;
  Attempts own_attempts_;
  Attempts* attempts_ = &own_attempts_;        // of the request: its second errand's are the same
  CallFailure last_ = CallFailure::kAborted;   // how the last attempt ended
  bool streams_ = false;                       // the answer under way is passed on as it comes
  bool went_down_ = false;                     // the backend, after that
  CallFailure given_up_ = CallFailure::kNone;  // why we have ended the call, if we have
  bool client_left_ = false;
  bool joins_ = false;    // its own call has ended, the second one's errand is waited for
  bool yielded_ = false;  // that one's outcome counts
  std::shared_ptr<const Endpoint> backend_;
  BatchInfo batch_;
  Waiter waiter_;
  unsigned with_lane_ = 0;  // how often the ticket has still to come back
  bool granted_ = false;    // and not released yet
  std::atomic<bool> cancelled_{false};
  bool calling_ = false;  // a call of our own is under way
  unsigned calls_ = 0;    // of our own, for their ids
  // Apart from the rest, which is all that a hundred thousand waiting requests should cost.
  std::unique_ptr<UpstreamCall> call_;
  std::unique_ptr<Second> second_;
  Errand* first_ = nullptr;  // whose second one this is
  std::unique_ptr<const SharedAnswer> shared_;
  std::unique_ptr<const AnswerFault> fault_;  // of the last attempt, if it was a kBadAnswer
  std::unique_ptr<const Error> error_;
};

}  // namespace batchproxy
