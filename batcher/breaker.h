// batcher/breaker.h - Breaker: keeps requests away from a backend whose calls fail, and lets one
// through now and then to see whether it is well again.
//
//            3 calls lost in a row, or 5 answers 5xx without a success
//   closed ─────────────────────────────────────────────▶ open, for 5 s, then 10, 15 … 60 s
//     ▲                                                     │ time is up, or its server came back
//     └── the probe is answered, or has lasted 5 s ── half-open: one request, the probe
//                                                           └── it fails: open again, for longer
//
// When no other backend is up either, waiting for the end of the pause helps nobody: then a probe
// may go a second after the opening.
//
// A refusal of the request (4xx) is a sign of life. Results of requests from before the last change
// say nothing about now and are ignored: each grant carries the breaker's generation.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/ticket.h"

namespace batchproxy {

// How a granted request ended, as far as that tells about its backend.
enum class Outcome : std::uint8_t {
  kGood,         // answered with success
  kRejected,     // answered, and the request was at fault
  kServerError,  // answered 5xx, or with something that is no answer
  kTimedOut,     // no answer in time
  kLost,         // no connection, or it ended before the answer was whole
  kUnknown,      // it was we who ended it
};

class Breaker {
 public:
  static constexpr int kLosses = 3;
  static constexpr int kServerErrors = 5;
  static constexpr Duration kPause = std::chrono::seconds(5);  // times the openings in a row
  static constexpr Duration kMaxPause = std::chrono::seconds(60);
  static constexpr Duration kLastResort = std::chrono::seconds(1);
  static constexpr Duration kProbeLasts = std::chrono::seconds(5);

  bool is_closed() const { return state_ == State::kClosed; }
  // Whether a request may be granted now. `last_resort`: no other backend is up.
  bool admits(TimePoint now, bool last_resort = false) const;
  // When admits() or is_closed() will next change by itself.
  std::optional<TimePoint> changes_at(TimePoint now, bool last_resort = false) const;
  std::uint32_t generation() const { return generation_; }

  // Time has passed.
  void advance(TimePoint now);
  // A request has been granted.
  void on_granted(TimePoint now);
  // One granted in `generation` has ended.
  void on_outcome(Outcome outcome, std::uint32_t generation, TimePoint now);
  // Its server is there again: no need to wait for the end of the pause.
  void on_ready(TimePoint now);

 private:
  enum class State { kClosed, kOpen, kProbing };

  void open(TimePoint now);
  void close();
  TimePoint due(bool last_resort) const;

  State state_ = State::kClosed;
  TimePoint since_{};      // of kOpen: when it opened
  TimePoint until_{};      // of kOpen: the end of the pause; of kProbing: when it has lasted enough
  int losses_ = 0;         // in a row
  int server_errors_ = 0;  // in a row
  int openings_ = 0;       // in a row
  std::uint32_t generation_ = 0;
};

}  // namespace batchproxy
