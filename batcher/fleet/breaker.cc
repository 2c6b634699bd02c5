// batcher/fleet/breaker.cc - see breaker.h.
#include "batcher/fleet/breaker.h"

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
  if (due(last_resort) == TimePoint::max()) return std::nullopt;
  return due(last_resort);
}

void Breaker::advance(TimePoint now) {
  if (state_ == State::kProbing && now >= until_) close();
}

// That a probe lasts is a good sign, unless standing still was what opened it.
void Breaker::on_granted(TimePoint now) {
  if (state_ != State::kOpen) return;
  state_ = State::kProbing;
  until_ = stuck_ ? TimePoint::max() : now + kProbeLasts;
}

void Breaker::on_outcome(Outcome outcome, std::uint32_t generation, Duration usual, TimePoint now) {
  if (generation != generation_) return;
  const bool probing = state_ == State::kProbing;
  switch (outcome) {
    case Outcome::kGood:
    case Outcome::kRejected:
    case Outcome::kFull:
      forgive();
      if (probing) close();
      break;
    case Outcome::kServerError:
      // It lives, but is it well? The next request may tell.
      if (probing) {
        returned_ = false;
        probe_again(now + kLastResort);
      } else {
        count(errors_, kErrors, usual, now);
      }
      break;
    case Outcome::kExpired:
    case Outcome::kLeft:
    case Outcome::kUnknown:
      // The probe was called off: the next request is one.
      if (probing) probe_again(now);
      break;
    case Outcome::kTimedOut:
    case Outcome::kLost:
      if (probing) {
        open(now);
      } else {
        count(losses_, kLosses, usual, now);
      }
      break;
    case Outcome::kDied:
      open(now);
      break;
  }
}

void Breaker::on_refuted(Duration usual, TimePoint now) {
  if (state_ == State::kClosed) count(refuted_, kRefuted, usual, now);
}

void Breaker::on_stuck(TimePoint now) {
  open(now);
  stuck_ = true;
}

void Breaker::on_ready(TimePoint now) {
  forgive();
  stuck_ = false;
  if (state_ != State::kClosed) {
    returned_ = true;
    probe_again(now);
  }
  ++generation_;
}

void Breaker::count(int& failures, int most, Duration usual, TimePoint now) {
  if (losses_ + refuted_ + errors_ == 0) streak_ = now;
  if (++failures >= most && now - streak_ >= std::max(kLeastStreak, usual + usual / 4)) open(now);
}

void Breaker::open(TimePoint now) {
  state_ = State::kOpen;
  returned_ = false;
  ++openings_;
  since_ = now;
  until_ = now + std::min(kMaxPause, openings_ * kPause);
  forgive();
  ++generation_;
}

void Breaker::close() {
  state_ = State::kClosed;
  stuck_ = returned_ = false;
  openings_ = 0;
  forgive();
}

void Breaker::forgive() {
  losses_ = refuted_ = errors_ = 0;
}

void Breaker::probe_again(TimePoint at) {
  state_ = State::kOpen;
  since_ = until_ = at;
}

}  // namespace batchproxy
