// launcher/agent/agent_pulse.cc - see agent_pulse.h.
#include "launcher/agent/agent_pulse.h"

#include <algorithm>
#include <utility>

namespace batchproxy {

AgentPulse::AgentPulse(const AgentPatience& patience, TimePoint now)
    : patience_(patience), looked_at_(now), next_question_(now + patience.every) {}

void AgentPulse::on_heard(TimePoint now) {
  if (!asked_at_) return;
  last_silence_ = now - *asked_at_;
  asked_at_.reset();
  next_question_ = now + patience_.every;
  // Of one that has an order its engine's end is the news.
  is_back_ = std::exchange(is_told_silent_, false) && !has_order();
}

// Of several the last counts, but an agent that has heard none of them gets no more time.
void AgentPulse::on_order(TimePoint now, Duration time) {
  time_of_order_ = time;
  if (asked_at_ && ordered_at_) return;
  ordered_at_ = now;
  if (!asked_at_) asked_at_ = now;
  is_told_unheard_ = is_told_unfinished_ = is_back_ = false;
}

AgentPulse::Act AgentPulse::take(TimePoint now) {
  if (is_over_) return Act::kNothing;
  // We were late, by more than a busy machine makes us.
  const Duration unseen = now - std::exchange(looked_at_, now);
  if (unseen > 2 * patience_.every) {
    if (asked_at_) *asked_at_ += unseen;
    if (ordered_at_) *ordered_at_ += unseen;
  }
  if (std::exchange(is_back_, false)) return Act::kTellBack;
  if (const auto until = end(); until && now >= *until) {
    is_over_ = true;
    return Act::kGiveUp;
  }
  if (is_silent(now)) {
    bool& is_told = has_order() ? is_told_unheard_ : is_told_silent_;
    if (std::exchange(is_told, true)) return Act::kNothing;
    return has_order() ? Act::kTellUnheard : Act::kTellSilent;
  }
  if (is_late(now) && !std::exchange(is_told_unfinished_, true)) return Act::kTellUnfinished;
  if (asked_at_ || now < next_question_) return Act::kNothing;
  asked_at_ = now;
  return Act::kAsk;
}

TimePoint AgentPulse::next_due() const {
  if (is_over_) return TimePoint::max();
  // Often enough to see that nobody has looked.
  TimePoint due = looked_at_ + patience_.every;
  const auto sooner = [&due, this](TimePoint at) {
    if (at > looked_at_) due = std::min(due, at);
  };
  if (!asked_at_) sooner(next_question_);
  if (asked_at_) sooner(*asked_at_ + patience_.patience);
  if (ordered_at_) sooner(*ordered_at_ + time_of_order_ + patience_.patience);
  if (const auto until = end()) sooner(*until);
  return due;
}

std::optional<Duration> AgentPulse::silence(TimePoint now) const {
  return is_silent(now) ? std::optional(now - *asked_at_) : std::nullopt;
}

bool AgentPulse::is_silent(TimePoint now) const {
  return asked_at_ && now - *asked_at_ >= patience_.patience;
}

bool AgentPulse::is_late(TimePoint now) const {
  if (!ordered_at_) return false;
  return is_silent(now) || now >= *ordered_at_ + time_of_order_ + patience_.patience;
}

std::optional<TimePoint> AgentPulse::end() const {
  if (!ordered_at_) {
    if (has_engine_ || !asked_at_) return std::nullopt;
    return *asked_at_ + patience_.time_without_engine;
  }
  const TimePoint obeyed = *ordered_at_ + time_of_order_ + patience_.grace;
  if (!asked_at_) return obeyed;
  // One that was silent before has had most of its time.
  return std::min(obeyed,
                  std::max(*asked_at_ + patience_.answer_time, *ordered_at_ + patience_.patience));
}

}  // namespace batchproxy
