// backends/sim/model/front_end.h - the API server process before the engine, as one FIFO server:
// vLLM does all HTTP, JSON and tokenising work of one engine on a single event loop.
//
// Sans-io, in virtual time: each function books the loop from `now` (or from when it gets free) and
// returns when the work is done. `now` must not decrease.
//
// Threading: confined to the caller.
#pragma once

namespace batchproxy::sim {

// Seconds of event-loop time.
struct FrontEndCosts {
  double per_call = 1e-3;
  double per_prompt = 1e-3;
  double per_token = 20e-6;  // of output
};

class FrontEnd {
 public:
  explicit FrontEnd(const FrontEndCosts& costs) : costs_(costs) {}

  // A call has come in: read and parse it.
  double accept_call(double now);

  // One prompt of an accepted call: tokenise it and hand it to the engine.
  double accept_prompt(double now);

  // A token of a streamed answer: a JSON chunk and a write of its own.
  double send_chunk(double now);

  // A prompt's answer is complete: detokenise it. Chunks were already paid for, so a streamed
  // answer comes with output_tokens = 0.
  double finish_prompt(double now, int output_tokens);

  // All answers of a call are complete: write the response.
  double finish_call(double now);

 private:
  double book(double now, double seconds);

  const FrontEndCosts costs_;
  double free_at_ = 0;
};

}  // namespace batchproxy::sim
