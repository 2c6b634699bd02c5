// batcher/engine/overload_bound.cc - see overload_bound.h.
#include "batcher/engine/overload_bound.h"

#include <algorithm>
#include <limits>

namespace batchproxy {

namespace {
constexpr double kGrowth = 0.08;  // of itself, a second
constexpr Duration kStays = std::chrono::milliseconds(500);
constexpr unsigned kManyEnds = 64;
constexpr Duration kRateWindow = std::chrono::seconds(1);
constexpr double kRateFades = 0.9;  // a window
}  // namespace

void OverloadBound::on_full(std::uint32_t inflight, TimePoint now) {
  if (inflight < most_) set(inflight, now + kStays);
}

bool OverloadBound::on_answered(std::uint32_t prompts, TimePoint now) {
  if (++answered_ + expired_ >= kManyEnds) {
    answered_ /= 2;
    expired_ /= 2;
  }
  rate_answered_ += prompts;
  const Duration counted = now - rate_since_;
  if (counted < kRateWindow) return false;
  // After a pause there is nothing to tell: it was not the engine that was slow.
  const bool tells = counted < 2 * kRateWindow;
  if (tells) {
    const double rate = rate_answered_ / std::chrono::duration<double>(counted).count();
    rate_ = std::max(rate, rate_ * kRateFades);
  }
  rate_since_ = now;
  rate_answered_ = 0;
  return tells;
}

double OverloadBound::answers_in(Duration time) const {
  if (rate_ == 0) return std::numeric_limits<double>::infinity();
  return rate_ * std::chrono::duration<double>(time).count();
}

void OverloadBound::on_expired(Duration had, const std::optional<EngineSample>& sample,
                               TimePoint now) {
  ++expired_;
  const bool has_too_many = sample ? sample->waiting >= 1 : expired_ > answered_;
  if (!has_too_many || now < frozen_until_) return;
  const double most = std::max(answers_in(had / 2), sample ? sample->running : 0);
  if (most < most_) set(most, now + std::max(had, kStays));
}

// It stays so until `frozen`.
void OverloadBound::set(double most, TimePoint frozen) {
  most_ = std::max(1.0, most);
  frozen_until_ = grown_ = frozen;
}

void OverloadBound::grow(TimePoint now) {
  if (most_ >= limit_ || now <= grown_) return;
  const double seconds = std::chrono::duration<double>(now - grown_).count();
  grown_ = now;
  most_ = std::min(limit_, most_ * (1 + kGrowth * std::min(seconds, 10.0)));
}

}  // namespace batchproxy
