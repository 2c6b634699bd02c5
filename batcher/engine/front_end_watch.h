// batcher/engine/front_end_watch.h - FrontEndWatch: whether most calls of a backend are on its HTTP
// front end, not in its engine. Then it pays to merge calls.
//
// Threading: confined to the lane.
#pragma once

#include "batcher/base/time.h"
#include "batcher/engine/engine_sample.h"

namespace batchproxy {

class FrontEndWatch {
 public:
  bool is_bottleneck() const { return is_bottleneck_; }

  // One look at the metrics, `inflight` prompts being in flight.
  void observe(const EngineSample& sample, double inflight, TimePoint now);
  // Nothing is known of it any more.
  void reset();

 private:
  bool is_bottleneck_ = false;
  int busy_ = 0;  // looks in a row
  TimePoint until_ = TimePoint::min();
};

}  // namespace batchproxy
