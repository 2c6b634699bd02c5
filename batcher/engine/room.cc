// batcher/engine/room.cc - see room.h.
#include "batcher/engine/room.h"

#include <algorithm>

namespace batchproxy {

namespace {

constexpr int kUnreadableLooks = 3;    // then we know nothing any more
constexpr double kSmoothing = 0.3;     // weight of the newest value
constexpr double kSlackPerStep = 3.0;  // standing queue, in admissions of one engine step
constexpr double kCeilingGrowth = 1.02;
constexpr Duration kAfterPreemption = std::chrono::seconds(5);

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
    bound_.grow(now);
    return;
  }
  unreadable_ = 0;
  adapt(*sample, now);
  front_end_.observe(*sample, inflight, now);
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
  bound_.grow(now);
  if (sample.waiting < 1) {
    // While the bound holds, a full room says nothing of the target.
    if (held_back_ && target_ <= bound_.most()) target_ += std::max(2.0, target_ / 4);
  } else if (sample.waiting > slack) {
    const double enough = std::max(sample.running, running_) + slack;
    if (enough < allowed()) target_ = allowed() - (allowed() - enough) / 2;
  }
  target_ = std::clamp(target_, 1.0, std::min(limit_, ceiling_));
}

void Room::on_full(std::uint32_t inflight, TimePoint now) {
  bound_.on_full(inflight, now);
}

void Room::on_expired(Duration had, TimePoint now) {
  bound_.on_expired(had, last_, now);
}

void Room::reset() {
  target_ = initial_;
  ceiling_ = limit_;
  running_ = completions_per_step_ = 0;
  front_end_.reset();
}

}  // namespace batchproxy
