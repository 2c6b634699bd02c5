// proxy/request/leg_core.h - LegCore: decides what is to be done next for one leg of a job.
//
// A job is a ticket's way to an answer, with as many tries as Attempts (backends/call/attempts.h)
// allows. It has one leg, and a leg tries one backend after another. When a backend stands still
// with a leg's call, another leg is begun beside it, elsewhere: the first answer counts.
//
//   begin ─▶ kSubmit ─on_verdict─▶ kCall ─on_call_ended─▶ [kLookAt ─on_looked_at─▶] kReport
//               ▲                                                                      │ go_on
//               └───────── kSubmit, kRetry ◀── [kJoin ─on_joined ◀─] ◀─────────────────┤
//                                                              kPoison ─▶ kEnd ◀───────┘
//
// LegCore has many fields since it is the whole state of a leg: where it is, what its last call
// came to, and what it and the leg beside it owe each other. Any event may meet any of these.
//
// Sans-io: Leg (proxy/request/leg.h) drives it with sockets and coroutines, tests/fault_sim in
// virtual time.
//
// Threading: confined to one I/O thread.
#pragma once

#include <cstdint>
#include <optional>

#include "backends/call/attempts.h"
#include "batcher/base/ticket.h"
#include "batcher/scheduler.h"

namespace batchproxy {

class LegCore {
 public:
  // The driver's next step, and what it then calls.
  enum class Do : std::uint8_t {
    kSubmit,     // hand the ticket to the lane: on_returned(), then on_verdict()
    kRetry,      // likewise, and it counts as a retry
    kCall,       // call the granted backend, alone or in a merged call: on_call_ended()
    kLookAt,     // ask whether that backend is well, until the deadline: on_looked_at()
    kReport,     // the attempt has ended: tell report(), then go_on()
    kJoin,       // wait until the leg beside has ended: on_joined()
    kEndBeside,  // end the leg beside, then as kJoin
    kPoison,     // remember that the request is never to be sent again, then as kEnd
    kEnd,        // ending() says how
  };

  // The driver's act when something happens meanwhile: it comes at once.
  enum class Act : std::uint8_t {
    kNothing,
    kWithdraw,     // take the ticket back from the lane
    kEndCall,      // close the call: on_call_ended() with kAborted follows
    kStopLooking,  // on_looked_at() follows, with nothing
    kAskBeside,    // begin a leg beside this one
  };

  enum class Ending : std::uint8_t {
    kAnswer,     // of this leg's last call, or of the leg beside
    kStream,     // the answer has begun to come
    kFailed,     // refused() says why, or last()
    kCancelled,  // cancel() was called
  };

  // How a call ended.
  struct CallEnd {
    bool is_good() const { return failure == CallFailure::kNone && status < 400; }

    CallFailure failure = CallFailure::kNone;
    unsigned status = 0;     // of the answer, if failure is kNone
    bool streams = false;    // the answer is passed on as it comes, and has begun
    bool says_dead = false;  // the answer says that its engine has ended
    bool silent = false;     // the call was begun, and no byte of an answer's body has come
    Duration pause{};        // that the answer asks for
    TimePoint at{};          // of one that is not good
  };

  // The report of an attempt that has ended: the driver tells it in this order.
  struct Report {
    BackendId backend = 0;
    Outcome outcome = Outcome::kUnknown;  // for the lane: the backend is free of us
    Duration pause{};                     // likewise
    bool bad_answer = false;              // its fault is to be kept
    bool failed = false;                  // counts as a failed attempt
    bool looks_gone = false;              // for the monitor: is it well?
    bool unreachable = false;             // likewise: nobody listens
    bool lacks_model = false;             // what it serves may have changed
    bool ends_before = false;             // the leg before this one is to yield()
  };

  // `may_wait`: a request waits here while its backend is full.
  LegCore(Attempts& attempts, bool may_wait) : attempts_(attempts), may_wait_(may_wait) {}
  // A leg beside `before`, which was told kAskBeside and must outlive it.
  explicit LegCore(LegCore& before);
  LegCore(const LegCore&) = delete;
  LegCore& operator=(const LegCore&) = delete;

  // To be filled in before begin(), but for a leg beside another.
  Ticket& ticket() { return ticket_; }
  const Ticket& ticket() const { return ticket_; }

  // --- what is awaited ---
  Do begin();
  // The ticket has come back once. True when it is all back: then on_verdict(). It must not be
  // touched, nor end, before that.
  bool on_returned() { return --with_lane_ == 0; }
  Do on_verdict();
  Do on_call_ended(const CallEnd& end);
  // Nothing: nobody has told in time, or it was stopped.
  Do on_looked_at(std::optional<bool> is_ready, TimePoint now);
  Do go_on();
  Do on_joined();

  // --- what happens meanwhile ---
  // Nobody wants its answer any more; the leg beside is to be told as well. `client_left`: that is
  // why.
  Act cancel(bool client_left);
  // The backend of this leg stands still. `ready`: backends that could be asked.
  Act on_stuck(BackendSet ready);
  // The lane calls back what the leg's backend was given too early.
  Act on_recall(const Recall& recall);
  // The leg beside has ended.
  Act on_beside_ended();
  // The leg beside decides the outcome.
  Act yield();
  // The stream of kStream is done with. What the lane is to be told.
  Outcome on_stream_ended(bool ok, CallFailure failure);
  // The driver cannot go on: nothing is under way any more. True if the grant is still to be given
  // back.
  bool break_off();

  bool is_cancelled() const { return cancelled_; }
  bool has_client_left() const { return client_left_; }
  bool is_with_lane() const { return with_lane_ > 0; }
  bool is_merged() const {
    return ticket_.verdict.is_follower || !ticket_.verdict.followers.empty();
  }
  const Report& report() const { return report_; }
  bool has_ended() const { return stage_ == Stage::kEnded; }
  Ending ending() const { return ending_; }
  // The leg beside's outcome is this one's.
  bool beside_counts() const { return beside_counts_; }
  bool has_beside() const { return beside_ != nullptr; }
  // Why a leg that is kFailed was refused: by the lane, or as a poison.
  std::optional<Errc> refused() const { return refused_; }
  CallFailure last() const { return last_.failure; }  // how its last call ended
  bool went_down() const { return went_down_; }       // and its backend with it
  unsigned status() const { return last_.failure == CallFailure::kNone ? last_.status : 0; }

 private:
  enum class Stage : std::uint8_t { kIdle, kWithLane, kCalling, kMerged, kLooking, kEnded };

  Do submit(Do how);
  Do end(Ending ending);
  Do end_attempt();
  Attempt attempt() const;
  Outcome outcome_of_end(const Attempt& attempt) const;
  void fill_in_report(const Attempt& attempt);
  Do after();
  Do deliver();
  Act give_up_call(CallFailure why);
  bool has_answer() const { return last_.failure == CallFailure::kNone && last_.status < 500; }
  bool is_answer() const;

  Attempts& attempts_;  // of the job: all its legs have the same
  const bool may_wait_;
  Ticket ticket_;
  Stage stage_ = Stage::kIdle;
  unsigned with_lane_ = 0;  // how often the ticket has still to come back
  CallEnd last_{.failure = CallFailure::kAborted};
  CallFailure given_up_ = CallFailure::kNone;  // why we have ended the call, if we have
  bool went_down_ = false;                     // the backend, after the last call
  Report report_;
  Attempts::Next next_ = Attempts::Next::kDeliver;
  bool granted_ = false;  // and not reported yet
  bool cancelled_ = false;
  bool client_left_ = false;
  LegCore* before_ = nullptr;
  LegCore* beside_ = nullptr;
  bool over_ = false;     // the leg beside is not wanted any more
  bool yielded_ = false;  // its outcome counts
  bool beside_counts_ = false;
  std::optional<Errc> refused_;
  Ending ending_ = Ending::kFailed;
};

}  // namespace batchproxy
