// proxy/jobs/run_core.cc - see run_core.h.
#include "proxy/jobs/run_core.h"

#include <algorithm>
#include <utility>

#include "configs/text/number.h"

namespace batchproxy {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kFirstWait = milliseconds(500);
constexpr Duration kLongestWait = seconds(30);
constexpr Duration kFirstTry = milliseconds(200);
constexpr Duration kSlowestTry = seconds(5);
constexpr double kNarrower = 0.7;

Duration doubled(Duration first, int times, Duration most) {
  return std::min<Duration>(first * (std::int64_t{1} << std::min(times, 16)), most);
}

bool may_go_better(unsigned status) {
  return status == 0 || status == 408 || status == 425 || status >= 500;
}

bool is_full_house(unsigned status) {
  return status == 429 || status == 503;
}

}  // namespace

RunCore::RunCore(RunLimits limits)
    : limits_(limits), room_(static_cast<double>(limits.in_flight)) {}

bool RunCore::wants_questions() const {
  return !ended_ && !stopped_ && !limit_reached() && window_.size() <= limits_.window / 2 &&
         bytes_ <= limits_.window_bytes / 2;
}

bool RunCore::is_full() const {
  return window_.size() >= limits_.window || bytes_ >= limits_.window_bytes;
}

void RunCore::add(Question question) {
  bytes_ += question.body.size();
  const std::string_view beginning = question.beginning();
  const auto begin = static_cast<std::size_t>(beginning.data() - question.body.data());
  const std::size_t size = beginning.size();
  window_.insert(Waiting{std::move(question), begin, size});
}

bool RunCore::has_room() const {
  if (stopped_ || (away_since_ && in_flight_ > 0)) return false;
  return static_cast<double>(in_flight_) < std::max(room_, 1.0);
}

std::optional<Ask> RunCore::next(TimePoint now) {
  if (!has_room() || (away_since_ && now < try_again_)) return std::nullopt;
  std::optional<Ask> ask = take(now);
  if (ask) ++in_flight_;
  return ask;
}

std::optional<Ask> RunCore::take(TimePoint now) {
  if (const auto first = later_.begin(); first != later_.end() && first->first <= now) {
    Ask ask = std::move(first->second);
    later_.erase(first);
    return ask;
  }
  if (window_.empty() || limit_reached()) return std::nullopt;
  auto at = window_.lower_bound(position_);
  if (at == window_.end()) at = window_.begin();
  position_ = at->beginning();
  Ask ask{std::move(window_.extract(at).value().question), 1};
  bytes_ -= ask.question.body.size();
  ++started_;
  return ask;
}

std::optional<TimePoint> RunCore::next_due() const {
  if (!has_room() || (later_.empty() && (!away_since_ || window_.empty()))) return std::nullopt;
  const TimePoint due = later_.empty() || !window_.empty() ? TimePoint{} : later_.begin()->first;
  if (away_since_) return std::max(try_again_, due);
  return later_.begin()->first;
}

void RunCore::put_back(Ask ask, TimePoint due) {
  later_.emplace(due, std::move(ask));
}

AfterReply RunCore::unreachable(Ask& ask, TimePoint now) {
  if (!away_since_) {
    away_since_ = now;
    tries_ = 0;
  }
  if (!useless_since_) useless_since_ = now;
  if (now >= try_again_) try_again_ = now + doubled(kFirstTry, tries_++, kSlowestTry);
  put_back(std::move(ask), now);
  return AfterReply::kAgain;
}

// One question that is refused while others are answered is at fault itself.
AfterReply RunCore::refused(Ask& ask, const ReplySeen& reply, TimePoint now) {
  if (now - narrowed_ >= seconds(1)) {
    room_ = std::max(1.0, room_ * kNarrower);
    narrowed_ = now;
  }
  if (!useless_since_) useless_since_ = now;
  if (!ask.refused_since) ask.refused_since = now;
  if (now - *ask.refused_since >= 2 * limits_.patience) return AfterReply::kFailed;
  const Duration asked = std::min<Duration>(reply.retry_after.value_or(kFirstWait), kLongestWait);
  put_back(std::move(ask), now + std::max(kFirstWait, asked));
  return AfterReply::kAgain;
}

AfterReply RunCore::on_reply(Ask& ask, const ReplySeen& reply, TimePoint now) {
  --in_flight_;
  if (reply.status == 0 && !reply.lost) return unreachable(ask, now);
  if (reply.status != 0) away_since_.reset();
  if (is_full_house(reply.status)) return refused(ask, reply, now);
  if (reply.status != 0) useless_since_.reset();
  ask.refused_since.reset();
  if (reply.status >= 200 && reply.status < 300) {
    room_ = std::min(static_cast<double>(limits_.in_flight), room_ + 1 / std::max(room_, 1.0));
    return AfterReply::kAnswered;
  }
  if (!may_go_better(reply.status) || ask.attempt >= limits_.attempts) return AfterReply::kFailed;
  const Duration wait = doubled(kFirstWait, ask.attempt - 1, kLongestWait);
  const Duration asked = std::min<Duration>(reply.retry_after.value_or(wait), seconds(60));
  ++ask.attempt;
  put_back(std::move(ask), now + std::max(wait, asked));
  return AfterReply::kAgain;
}

bool RunCore::done() const {
  if (in_flight_ > 0) return false;
  if (stopped_) return true;
  return later_.empty() && (limit_reached() || (ended_ && window_.empty()));
}

bool RunCore::gives_up(TimePoint now) const {
  return useless_since_ && now - *useless_since_ >= limits_.patience;
}

std::optional<Duration> retry_after_in(std::string_view value) {
  const auto number = number_in<std::int64_t>(value);
  if (!number || *number < 0 || *number > 86'400) return std::nullopt;
  return seconds(*number);
}

}  // namespace batchproxy
