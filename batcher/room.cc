// batcher/room.cc - see room.h.
#include "batcher/room.h"

#include <algorithm>

namespace batchproxy {

namespace {

constexpr int kUnreadableLooks = 3;      // then we know nothing any more
constexpr double kSmoothing = 0.3;       // weight of the newest value
constexpr double kSlackPerStep = 3.0;    // standing queue, in admissions of one engine step
constexpr double kCeilingGrowth = 0.08;  // of itself, a second
constexpr Duration kAfterPreemption = std::chrono::seconds(5);
constexpr Duration kAfterRefusal = std::chrono::milliseconds(500);
constexpr unsigned kManyEnds = 64;
constexpr double kLessOnExpiry = 7.0 / 8;

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
      ceiling_(limit_) {}

void Room::observe(const std::optional<EngineSample>& sample, std::uint32_t inflight,
                   TimePoint now) {
  if (!sample) {
    last_.reset();
    if (++unreadable_ == kUnreadableLooks) reset();
    raise_ceiling(now);
    // Held back by what it has refused only.
    if (unreadable_ >= kUnreadableLooks) target_ = std::min(initial_, ceiling_);
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
  if (preempted && now >= frozen_until_) {
    // It had taken in more than its cache holds, and threw work away.
    limit_to(std::max(4.0, running_), now + kAfterPreemption);
    return;
  }
  raise_ceiling(now);
  if (sample.waiting < 1) {
    if (held_back_) target_ += std::max(2.0, target_ / 4);
  } else if (sample.waiting > slack) {
    const double enough = std::max(sample.running, running_) + slack;
    if (enough < target_) target_ -= (target_ - enough) / 2;
  }
  target_ = std::clamp(target_, 1.0, std::min(limit_, ceiling_));
}

void Room::on_full(std::uint32_t inflight, TimePoint now) {
  if (inflight < ceiling_)
    limit_to(std::max(1.0, static_cast<double>(inflight)), now + kAfterRefusal);
}

void Room::on_answered() {
  if (++answered_ + expired_ < kManyEnds) return;
  answered_ /= 2;
  expired_ /= 2;
}

void Room::on_expired(std::uint32_t inflight, Duration usual, TimePoint now) {
  ++expired_;
  if (expired_ <= answered_ || now < frozen_until_) return;
  const double most = std::min(target_, static_cast<double>(inflight) + 1) * kLessOnExpiry;
  limit_to(std::max(1.0, most), now + std::max(usual, kAfterRefusal));
}

// The ceiling stays where it is until `frozen`.
void Room::limit_to(double most, TimePoint frozen) {
  ceiling_ = most;
  target_ = std::min(target_, ceiling_);
  frozen_until_ = raised_ = frozen;
}

void Room::raise_ceiling(TimePoint now) {
  if (now <= frozen_until_ || now <= raised_) return;
  const double seconds = std::chrono::duration<double>(now - raised_).count();
  raised_ = now;
  ceiling_ = std::min(limit_, ceiling_ * (1 + kCeilingGrowth * std::min(seconds, 10.0)));
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
  target_ = std::min(initial_, ceiling_);
  running_ = completions_per_step_ = 0;
  front_end_bound_ = false;
  front_end_busy_ = 0;
}

}  // namespace batchproxy
