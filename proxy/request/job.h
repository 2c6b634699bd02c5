// proxy/request/job.h - Job: one ticket's way through the lane to a backend, and the answer it
// brings back, in as many tries as are allowed (proxy/request/leg_core.h).
//
// Threading: confined to one I/O thread.
#pragma once

#include <string_view>

#include "backends/call/attempts.h"
#include "proxy/request/leg.h"
#include "proxy/wire/reply.h"

namespace batchproxy {

class Job {
 public:
  using Load = Leg::Load;
  using Ending = Leg::Ending;

  // `phase` and `trace` are of its request, and outlive it.
  Job(IoThread& thread, RequestPhase& phase, RequestTrace& trace, Load load)
      : leg_(thread, phase, trace, load, attempts_) {}
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // To be filled in before run(): who may serve it, until when, and so on.
  Ticket& ticket() { return leg_.ticket(); }
  const Ticket& ticket() const { return leg_.ticket(); }

  Task<Ending> run() { return leg_.run(); }
  // Ends the job soon: nobody wants its answer any more. May be called at any time.
  // `client_left`: that is why.
  void cancel(bool client_left = false) { leg_.cancel(client_left); }
  // The stream is done with; exactly once after kStream.
  void end_stream(bool ok) { leg_.end_stream(ok); }

  // Of kAnswer and kStream.
  const AnswerHead& answer() const { return answered_by().answer(); }
  std::string_view body() const { return answered_by().body(); }
  bool exact_usage() const { return answered_by().exact_usage(); }
  // Of kStream.
  UpstreamCall& stream() { return leg_.stream(); }
  // Of kFailed.
  Error error() const { return answered_by().error(); }
  unsigned attempts() const { return attempts_.made(); }
  // The backend that was last asked, and in which batch.
  const Endpoint& backend() const { return answered_by().backend(); }
  const BatchInfo& batch() const { return answered_by().batch(); }
  // For the client.
  Provenance provenance() const {
    return {backend().name, batch().id, batch().prompts, attempts(), !exact_usage()};
  }

 private:
  const Leg& answered_by() const { return leg_.answered_by(); }

  Attempts attempts_;
  Leg leg_;
};

}  // namespace batchproxy
