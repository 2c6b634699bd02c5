// batcher/engine/front_end_watch.cc - see front_end_watch.h.
#include "batcher/engine/front_end_watch.h"

namespace batchproxy {

namespace {
constexpr int kLooks = 2;
constexpr double kOn = 0.5;  // share of what is in flight
constexpr double kOff = 0.3;
constexpr double kLeast = 16;  // prompts in flight
constexpr Duration kStays = std::chrono::seconds(5);
}  // namespace

void FrontEndWatch::observe(const EngineSample& sample, double inflight, TimePoint now) {
  const double outside = inflight - sample.running - sample.waiting;
  const bool enough = inflight >= kLeast;
  busy_ = enough && outside >= kOn * inflight ? busy_ + 1 : 0;
  if (busy_ >= kLooks) {
    is_bottleneck_ = true;
    until_ = now + kStays;
  } else if (is_bottleneck_ && now >= until_ && !(enough && outside >= kOff * inflight)) {
    is_bottleneck_ = false;
  }
}

void FrontEndWatch::reset() {
  is_bottleneck_ = false;
  busy_ = 0;
}

}  // namespace batchproxy
