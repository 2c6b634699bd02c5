// bench/load/arrivals.cc - see arrivals.h.
#include "bench/load/arrivals.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace batchproxy::bench {

double ArrivalTimes::next() {
  if (arrivals_ == Arrivals::kConstant) return static_cast<double>(given_++) / rate_;
  if (given_++ == 0) return last_;
  // From 0 to 1, without 1: 53 bits of it. The standard's distributions differ between libraries.
  const double share = static_cast<double>(random_() >> 11) * 0x1p-53;
  last_ += -std::log1p(-share) / rate_;
  return last_;
}

QuestionOrder::QuestionOrder(std::size_t questions, std::size_t window,
                             std::optional<std::size_t> most)
    : questions_(questions), window_(std::max<std::size_t>(window, 1)), most_(most) {}

void QuestionOrder::fill() {
  std::size_t count = window_;
  if (most_) count = std::min(count, *most_ - planned_);
  for (std::size_t i = 0; i < count; ++i, ++planned_) {
    turns_.push_back({planned_ % questions_, planned_ / questions_});
  }
  for (std::size_t i = turns_.size(); i > 1; --i) {
    std::swap(turns_[i - 1], turns_[random_() % i]);
  }
  std::ranges::reverse(turns_);
}

std::optional<QuestionOrder::Turn> QuestionOrder::next() {
  if (turns_.empty()) fill();
  if (turns_.empty()) return std::nullopt;
  const Turn turn = turns_.back();
  turns_.pop_back();
  return turn;
}

}  // namespace batchproxy::bench
