// backends/call/attempts.h - Attempts: what becomes of a request after each try to have it
// answered.
//
// Sans-io. Kinds of ends:
//  - no answer: the connection could not be made, or ended before the answer was whole. That tells
//    nothing about the request, and it is sent again at once, to another backend if one is up.
//    Where nothing had been sent yet the try does not even count. One that was lost each time may
//    have met with one engine's end after another: before it is given up it has one try more, on
//    an engine that does nothing else.
//  - its engine has ended: the same, however that showed: a reset, an empty 500, or a 500 in which
//    vLLM says so; and the request is a suspect.
//  - a full backend, or one that would answer too late: the request waits here until there is
//    room, and the try does not count.
//  - a bad answer: 5xx, garbage, or nothing in time. Often the request is the cause, so it is sent
//    again only if the retry budget (batcher/fleet/retry_budget.h) allows: garbage and an empty 500
//    once, 5xx only to a backend that has not failed it.
// Anything else is the client's: 4xx above all.
//
// A request that was on an engine when it ended is a suspect: perhaps it was the cause. With two
// such ends it runs alone, so that the next one takes nobody with it and leaves no doubt. A
// connection that died while its engine lives makes no suspect, but with the third.
//
// Threading: confined to one I/O thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "backends/call/call_failure.h"
#include "batcher/base/ticket.h"
#include "batcher/fleet/breaker.h"

namespace batchproxy {

// The end of one attempt.
struct Attempt {
  BackendId backend = 0;
  CallFailure failure = CallFailure::kNone;
  unsigned status = 0;        // of the answer, if failure is kNone
  bool asks_to_wait = false;  // the answer says when to come again
  bool may_wait = true;       // here, for a full backend to have room
  bool alone = false;         // on a backend that did nothing else
  bool went_down = false;     // its engine was seen to have ended, or has said so
  bool time_left = true;      // until the request's own deadline

  bool is_full() const;          // the backend takes no more for now, and does not say until when
  bool is_death() const;         // the engine has ended with it
  bool is_loss() const;          // it has, or its connection, or it stood still
  bool is_server_error() const;  // an answer, but a failure of the server's
};

class Attempts {
 public:
  static constexpr unsigned kMax = 3;  // and one more, alone, after as many losses
  static constexpr unsigned kDeathsBeforeAlone = 2;

  enum class Next {
    kDeliver,        // the answer, or the failure, is the client's
    kWait,           // send it again as it is, when there is room
    kRetry,          // send it again
    kRetryInBudget,  // send it again, or deliver if the budget is used up
    kPoison,         // never send it again
  };

  // `served_by`: who may serve the request.
  Next after(const Attempt& attempt, BackendSet served_by);

  // Makes `ticket` one for the next try: not in a shared call, since nobody else shall suffer from
  // what the request may do; elsewhere if anybody else is up. It keeps its place in the queue.
  void prepare_retry(Ticket& ticket, bool costs_budget) const;

  // Whether there are tries left. A call that stands still goes on beside those to come, and counts
  // as one of kMax when it has ended; so the last of them may have one beside it, too.
  bool any_left() const { return made_ + beside_ < limit(); }
  // Whether a call that is given up now leaves one to come.
  bool may_ask_anew() const { return made_ + beside_ + 1 < limit(); }
  void begin_beside() { ++beside_; }
  void end_beside() { --beside_; }

  // An answer has begun that is passed on as it comes: there is no way back from here.
  void on_stream() { ++made_; }

  unsigned made() const { return made_; }  // that reached a backend
  // It may have been the end of engines: from now on it runs alone.
  bool is_suspect() const { return deaths_ >= kDeathsBeforeAlone || was_always_lost(); }
  // Backends that failed the request by errors of their own: an answer elsewhere refutes them.
  BackendSet failed_by() const { return failed_by_; }

 private:
  bool was_always_lost() const { return losses_ == kMax && made_ == kMax && !was_alone_; }
  unsigned limit() const { return kMax + (was_always_lost() ? 1 : 0); }

  unsigned made_ = 0;
  unsigned losses_ = 0;  // of these
  bool was_alone_ = false;
  unsigned beside_ = 0;
  unsigned deaths_ = 0;
  BackendSet asked_;
  BackendSet failed_by_;
};

// Whether the engine may have ended with such a call: its health tells.
bool may_be_death(CallFailure failure, unsigned status);

// Whether an answer says that its engine has ended, as vLLM's does:
// entrypoints/serve/utils/error_response.py, EngineDeadError.
bool tells_of_death(unsigned status, std::string_view body);

// The evidence that an attempt gives about its backend.
Outcome outcome_of(const Attempt& attempt);

}  // namespace batchproxy
