// batcher/fleet/breaker.h - Breaker: keeps requests away from a backend that fails by its own
// fault, and lets one through now and then to see whether it is well again.
//
//            its engine has died, or stands still; or failures that tell against it
//   closed ─────────────────────────────────────────────▶ open, for 5 s, then 10, 15 … 60 s
//     ▲                                                     │ time is up, or its server came back
//     └── the probe is answered, or has lasted 5 s ── half-open: one request, the probe
//                                                           └── it fails: open again, for longer
//
// A failed request is evidence against the request as much as against the backend, and one client's
// bad requests must not cost the others a backend. So what tells against a backend is:
//  - that its engine has died, or stands still: at once;
//  - an error that another backend's answer to the same request has refuted: the fifth without a
//    success in between; where none has, the tenth: then nobody's request fares better;
//  - a connection that died, or no answer within attempt_timeout: the third without a success in
//    between.
// The last two count only after as long without a success as its answers usually take: until then
// the successes of others may be on their way. A request's own deadline, its client's leaving, a
// refusal and a full queue tell nothing against a backend; the last two are signs of life.
//
// When no other backend is up either, waiting for the end of the pause helps nobody: then a probe
// may go a second after the opening.
//
// Results of requests from before the last change say nothing about now and are ignored: each grant
// carries the breaker's generation.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/base/time.h"

namespace batchproxy {

// How a granted request ended, as far as that tells about its backend.
enum class Outcome : std::uint8_t {
  kGood,         // answered with success
  kRejected,     // answered, and the request was at fault
  kFull,         // answered: it takes no more for now
  kServerError,  // answered 5xx, or with something that is no answer
  kTimedOut,     // no answer within attempt_timeout
  kExpired,      // no answer before the request's own deadline
  kLost,         // no connection, or it ended before the answer was whole
  kDied,         // its engine has ended, or says that it is about to
  kLeft,         // its client left before a byte of an answer had come
  kUnknown,      // it was we who ended it
};

class Breaker {
 public:
  static constexpr int kLosses = 3;
  static constexpr int kRefuted = 5;
  static constexpr int kErrors = 10;
  static constexpr Duration kPause = std::chrono::seconds(5);  // times the openings in a row
  static constexpr Duration kMaxPause = std::chrono::seconds(60);
  static constexpr Duration kLastResort = std::chrono::seconds(1);
  static constexpr Duration kProbeLasts = std::chrono::seconds(5);
  // At least so long without a success.
  static constexpr Duration kLeastStreak = std::chrono::milliseconds(500);

  bool is_closed() const { return state_ == State::kClosed; }
  bool is_probing() const { return state_ == State::kProbing; }
  // Its calls fail: not one whose server has come back, and which has yet to be tried.
  bool is_failing() const { return state_ != State::kClosed && !returned_; }
  // Whether a request may be granted now. `last_resort`: no other backend is up.
  bool admits(TimePoint now, bool last_resort = false) const;
  // When admits() or is_closed() will next change by itself.
  std::optional<TimePoint> changes_at(TimePoint now, bool last_resort = false) const;
  std::uint32_t generation() const { return generation_; }

  // Time has passed.
  void advance(TimePoint now);
  // A request has been granted.
  void on_granted(TimePoint now);
  // One granted in `generation` has ended. `usual`: how long its answers take, zero if unknown.
  void on_outcome(Outcome outcome, std::uint32_t generation, Duration usual, TimePoint now);
  // Another backend has answered a request that this one had failed.
  void on_refuted(Duration usual, TimePoint now);
  // It stands still: a probe must be answered before it counts as well.
  void on_stuck(TimePoint now);
  // Its server is there again, or moves again: no need to wait for the end of the pause.
  void on_ready(TimePoint now);

 private:
  enum class State { kClosed, kOpen, kProbing };

  void count(int& failures, int most, Duration usual, TimePoint now);
  void open(TimePoint now);
  void close();
  void forgive();
  void probe_again(TimePoint at);
  TimePoint due(bool last_resort) const;

  State state_ = State::kClosed;
  TimePoint since_{};      // of kOpen: when it opened
  TimePoint until_{};      // of kOpen: the end of the pause; of kProbing: when it has lasted enough
  TimePoint streak_{};     // the first failure since the last success
  int losses_ = 0;         // since the last success
  int refuted_ = 0;        // likewise
  int errors_ = 0;         // likewise, refuted or not
  int openings_ = 0;       // in a row
  bool stuck_ = false;     // it stood still, and has shown no sign of life since
  bool returned_ = false;  // its server has, and no call has failed since
  std::uint32_t generation_ = 0;
};

}  // namespace batchproxy
