// launcher/supervision/restart_policy.cc - see restart_policy.h.
#include "launcher/supervision/restart_policy.h"

#include <algorithm>
#include <chrono>
#include <random>

namespace batchproxy {

namespace {
constexpr Duration kFirst = std::chrono::seconds(1);
constexpr Duration kLongest = std::chrono::seconds(60);
constexpr Duration kForgiven = std::chrono::minutes(10);
constexpr double kSpread = 0.2;
}  // namespace

std::optional<Duration> RestartPolicy::on_ended(const RunEnd& end) {
  if (end.up_for) was_up_ = true;
  if (end.up_for && *end.up_for >= kForgiven) failures_ = 0;
  ++failures_;
  if (!restarts_) return std::nullopt;
  const bool hopeless = end.is_hopeless || failures_ >= kMostStarts;
  if (!was_up_ && hopeless) return std::nullopt;
  return delay();
}

Duration RestartPolicy::delay() {
  constexpr int kDoublings = 6;  // beyond them it is kLongest anyway
  const Duration even = std::min(kFirst * (1 << std::min(failures_ - 1, kDoublings)), kLongest);
  std::minstd_rand next(random_);
  random_ = static_cast<std::uint32_t>(next());
  std::uniform_real_distribution<double> factor(1 - kSpread, 1);
  return std::chrono::duration_cast<Duration>(even * factor(next));
}

}  // namespace batchproxy
