// batcher/engine/overload_bound.h - OverloadBound: more prompts than so many a backend refuses, or
// answers too late for their requests.
//
// A refusal bounds it to what it had taken. An answer that came too late bounds it to what it
// answers in half of the time that the request had. The bound grows again slowly, as whatever set
// it may have gone.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/base/time.h"
#include "batcher/engine/engine_sample.h"

namespace batchproxy {

class OverloadBound {
 public:
  // Without a reason it is `limit` prompts, and never more.
  explicit OverloadBound(double limit) : limit_(limit), most_(limit) {}

  double most() const { return most_; }

  // How many prompts the backend answers within `time`, as far as is known; endless while nothing
  // is.
  double answers_in(Duration time) const;

  // It said that it takes no more while `inflight` other prompts were in flight.
  void on_full(std::uint32_t inflight, TimePoint now);
  // A request of so many prompts was answered with success. True when answers_in() has changed.
  bool on_answered(std::uint32_t prompts, TimePoint now);
  // Nobody waits any more for a request that it had for so long. One may be too long itself; when
  // requests wait inside the engine, or, if it does not tell, when most end so, it has too many.
  // The prompts that it runs at once are never too many: only waiting inside it costs time.
  void on_expired(Duration had, const std::optional<EngineSample>& sample, TimePoint now);
  // Time has passed.
  void grow(TimePoint now);

 private:
  void set(double most, TimePoint frozen);

  double limit_;
  double most_;
  TimePoint frozen_until_ = TimePoint::min();
  TimePoint grown_{};
  unsigned answered_ = 0;  // these two fade
  unsigned expired_ = 0;
  double rate_ = 0;             // prompts answered a second, the best of late
  TimePoint rate_since_{};      // of the second that is counted
  unsigned rate_answered_ = 0;  // in it
};

}  // namespace batchproxy
