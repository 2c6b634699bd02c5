// batcher/breaker.cc - see breaker.h.
#include "batcher/breaker.h"

#include <algorithm>

namespace batchproxy {

// When the state may change by itself.
TimePoint Breaker::due(bool last_resort) const {
  if (state_ != State::kOpen || !last_resort) return until_;
  return std::min(until_, since_ + kLastResort);
}

bool Breaker::admits(TimePoint now, bool last_resort) const {
  return state_ == State::kClosed || (state_ == State::kOpen && now >= due(last_resort));
}

std::optional<TimePoint> Breaker::changes_at(TimePoint now, bool last_resort) const {
  if (state_ == State::kClosed || due(last_resort) <= now) return std::nullopt;
  return due(last_resort);
}

void Breaker::advance(TimePoint now) {
  if (state_ == State::kProbing && now >= until_) close();
}

void Breaker::on_granted(TimePoint now) {
  if (state_ != State::kOpen) return;
  state_ = State::kProbing;
  until_ = now + kProbeLasts;
}

void Breaker::on_outcome(Outcome outcome, std::uint32_t generation, TimePoint now) {
  if (generation != generation_) return;
  const bool probing = state_ == State::kProbing;
  switch (outcome) {
    case Outcome::kGood:
    case Outcome::kRejected:
      losses_ = server_errors_ = 0;
      if (probing) close();
      break;
    case Outcome::kUnknown:
      // The probe was called off: the next request is one.
      if (probing) {
        state_ = State::kOpen;
        since_ = until_ = now;
      }
      break;
    case Outcome::kServerError:
      losses_ = 0;
      if (++server_errors_ >= kServerErrors || probing) open(now);
      break;
    case Outcome::kTimedOut:
    case Outcome::kLost:
      if (++losses_ >= kLosses || probing) open(now);
      break;
  }
}

void Breaker::on_ready(TimePoint now) {
  if (state_ == State::kClosed) {
    losses_ = server_errors_ = 0;
  } else {
    state_ = State::kOpen;
    since_ = until_ = now;
  }
  ++generation_;
}

void Breaker::open(TimePoint now) {
  state_ = State::kOpen;
  ++openings_;
  since_ = now;
  until_ = now + std::min(kMaxPause, openings_ * kPause);
  losses_ = server_errors_ = 0;
  ++generation_;
}

void Breaker::close() {
  state_ = State::kClosed;
  openings_ = 0;
  losses_ = server_errors_ = 0;
}

}  // namespace batchproxy
