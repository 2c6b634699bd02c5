// batcher/fleet/room.cc - see room.h.
#include "batcher/fleet/room.h"

#include <algorithm>
#include <limits>

namespace batchproxy {

namespace {

constexpr int kUnreadableLooks = 3;    // then we know nothing any more
constexpr double kSmoothing = 0.3;     // weight of the newest value
constexpr double kSlackPerStep = 3.0;  // standing queue, in admissions of one engine step
constexpr double kCeilingGrowth = 1.02;
constexpr Duration kAfterPreemption = std::chrono::seconds(5);

constexpr double kBoundGrowth = 0.08;  // of itself, a second
constexpr Duration kBoundStays = std::chrono::milliseconds(500);
constexpr unsigned kManyEnds = 64;
constexpr Duration kRateWindow = std::chrono::seconds(1);
constexpr double kRateFades = 0.9;  // a window

constexpr int kFrontEndLooks = 2;
constexpr double kFrontEndOn = 0.5;  // share of what is in flight
constexpr double kFrontEndOff = 0.3;
constexpr double kFrontEndLeast = 16;  // prompts in flight
constexpr Duration kFrontEndStays = std::chrono::seconds(5);

void smooth(double& average, double value) {
  average = average == 0 ? value : (1 - kSmoothing) * average + kSmoothing * value;
}

}  // namespace

Room::Room(std::uint32_t max_num_seqs, std::uint32_t batch_size)
    : initial_(max_num_seqs),
      limit_(2.0 * max_num_seqs),
      base_slack_(2.0 * batch_size),
      target_(initial_),
      ceiling_(limit_),
      bound_(limit_) {}

void Room::observe(const std::optional<EngineSample>& sample, std::uint32_t inflight,
                   TimePoint now) {
  if (!sample) {
    last_.reset();
    if (++unreadable_ == kUnreadableLooks) reset();
    raise_bound(now);
    if (unreadable_ >= kUnreadableLooks) target_ = std::min(initial_, bound_);
    return;
  }
  unreadable_ = 0;
  adapt(*sample, now);
  watch_front_end(*sample, inflight, now);
  last_ = sample;
  completed_ = 0;
  held_back_ = false;
}

void Room::adapt(const EngineSample& sample, TimePoint now) {
  smooth(running_, sample.running);
  if (last_ && last_->steps && sample.steps > last_->steps) {
    smooth(completions_per_step_,
           static_cast<double>(completed_) / static_cast<double>(*sample.steps - *last_->steps));
  }
  const double slack = std::max(base_slack_, kSlackPerStep * completions_per_step_);
  const bool preempted = last_ && sample.preemptions > last_->preemptions;
  if (now >= frozen_until_) {
    if (preempted) {
      // It had taken in more than its cache holds, and threw work away.
      ceiling_ = std::max(4.0, running_);
      target_ = std::min(target_, ceiling_);
      frozen_until_ = now + kAfterPreemption;
      return;
    }
    ceiling_ = std::min(limit_, ceiling_ * kCeilingGrowth);
  }
  raise_bound(now);
  if (sample.waiting < 1) {
    if (held_back_) target_ += std::max(2.0, target_ / 4);
  } else if (sample.waiting > slack) {
    const double enough = std::max(sample.running, running_) + slack;
    if (enough < target_) target_ -= (target_ - enough) / 2;
  }
  target_ = std::clamp(target_, 1.0, std::min({limit_, ceiling_, bound_}));
}

void Room::on_full(std::uint32_t inflight, TimePoint now) {
  if (inflight < bound_) bound_to(inflight, now + kBoundStays);
}

bool Room::on_answered(std::uint32_t prompts, TimePoint now) {
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

double Room::answers_in(Duration time) const {
  if (rate_ == 0) return std::numeric_limits<double>::infinity();
  return rate_ * std::chrono::duration<double>(time).count();
}

void Room::on_expired(Duration had, TimePoint now) {
  ++expired_;
  const bool waits_inside = last_ ? last_->waiting >= 1 : expired_ > answered_;
  if (!waits_inside || now < bound_frozen_until_) return;
  const double most = answers_in(had / 2);
  if (most < bound_) bound_to(most, now + std::max(had, kBoundStays));
}

// It stays so until `frozen`.
void Room::bound_to(double most, TimePoint frozen) {
  bound_ = std::max(1.0, most);
  target_ = std::min(target_, bound_);
  bound_frozen_until_ = bound_raised_ = frozen;
}

void Room::raise_bound(TimePoint now) {
  if (bound_ >= limit_ || now <= bound_raised_) return;
  const double seconds = std::chrono::duration<double>(now - bound_raised_).count();
  bound_raised_ = now;
  bound_ = std::min(limit_, bound_ * (1 + kBoundGrowth * std::min(seconds, 10.0)));
}

void Room::watch_front_end(const EngineSample& sample, double inflight, TimePoint now) {
  const double outside = inflight - sample.running - sample.waiting;
  const bool enough = inflight >= kFrontEndLeast;
  front_end_busy_ = enough && outside >= kFrontEndOn * inflight ? front_end_busy_ + 1 : 0;
  if (front_end_busy_ >= kFrontEndLooks) {
    front_end_bound_ = true;
    front_end_until_ = now + kFrontEndStays;
  } else if (front_end_bound_ && now >= front_end_until_ &&
             !(enough && outside >= kFrontEndOff * inflight)) {
    front_end_bound_ = false;
  }
}

void Room::reset() {
  target_ = std::min(initial_, bound_);
  ceiling_ = limit_;
  running_ = completions_per_step_ = 0;
  front_end_bound_ = false;
  front_end_busy_ = 0;
}

}  // namespace batchproxy
