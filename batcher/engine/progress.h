// batcher/engine/progress.h - Progress: does a backend that has requests in hand get on with them,
// or does it stand still?
//
// An engine can hang while its /health, and even its /metrics, answer at once. What cannot be
// feigned is progress: bytes of an answer, or its own count of iterations. Slow is not stuck: an
// engine that counts on is working, however long an answer takes.
//
//   it counts iterations, has work, and the count stands    -> stuck after `stuck_timeout`
//   its metrics, once there, have fallen silent             -> the same
//   it tells no count                                       -> no byte for three times that, and
//                                                              for eight times what its answers
//                                                              take
//   three clients in a row gave up without a byte           -> no byte for three times what its
//                                                              answers take, and for a second
//   it is being tried after it was stuck                    -> no byte for twice that, and for
//                                                              a second
//
// In each case without a byte of any answer from it in all that time. The bytes of a stream are
// told when progress is looked at, so that they may count for later than they came.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/base/time.h"
#include "batcher/engine/engine_sample.h"

namespace batchproxy {

class Progress {
 public:
  static constexpr int kDepartures = 3;  // of clients, in a row

  // It has been given a request; `anew`: it had none, or this one tries it after it was stuck.
  void on_granted(bool anew, TimePoint now);
  // Bytes of an answer came from it.
  void on_bytes(TimePoint now);
  // A client has left that it had not sent a byte to.
  void on_departure() { ++departures_; }
  // One look at its metrics; nothing when they could not be read. True when it was seen to move.
  bool on_look(const std::optional<EngineSample>& sample, TimePoint now);

  struct Limits {
    Duration stuck_timeout{};  // zero: never stuck
    Duration usual{};          // what its answers take; zero: unknown
    bool tried = false;        // this is the first request since it was stuck
  };
  // When it will count as stuck unless it moves, having requests in hand.
  TimePoint stuck_at(const Limits& limits) const;
  // Since when no byte has come.
  TimePoint quiet_since() const { return std::max(last_bytes_, busy_since_); }

 private:
  TimePoint busy_since_{};
  TimePoint last_bytes_{};
  TimePoint last_step_{};               // its count was seen to move, or it had nothing to do
  TimePoint last_sample_{};             // its metrics were read; zero: never
  bool silent_ = false;                 // they could not be, the last time
  std::optional<std::uint64_t> steps_;  // its count, if it has one
  bool works_ = false;                  // it said that it had requests
  int departures_ = 0;                  // in a row
};

}  // namespace batchproxy
