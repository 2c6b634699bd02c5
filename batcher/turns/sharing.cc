// batcher/turns/sharing.cc - see sharing.h.
#include "batcher/turns/sharing.h"

#include <algorithm>
#include <optional>

namespace batchproxy {

namespace {
constexpr double kNewestShare = 1.0 / 64;  // what one prompt tells of how common sharing is
constexpr double kGrowth = 1 + 1.0 / 512;  // what was sent 512 prompts ago counts a third
constexpr double kHeaviest = 1e100;
}  // namespace

void Sharing::on_submitted(std::uint64_t beginning, std::uint32_t prompts) {
  common_ += ((beginning != 0 ? 1 : 0) - common_) * kNewestShare;
  on_back(beginning, prompts);
}

void Sharing::take_off(std::uint64_t beginning, std::uint32_t prompts) {
  const auto found = demand_.find(beginning);
  if (found == demand_.end()) return;
  found->second -= std::min(found->second, prompts);
  if (found->second == 0) demand_.erase(found);
}

std::uint32_t Sharing::demand(std::uint64_t beginning) const {
  const auto found = demand_.find(beginning);
  return found == demand_.end() ? 0 : found->second;
}

void Sharing::on_sent(BackendId id, bool anew) {
  weight_ *= kGrowth;
  if (anew) {
    if (id >= placed_.size()) placed_.resize(id + 1);
    placed_[id] += weight_;
  }
  if (weight_ < kHeaviest) return;
  for (double& placed : placed_) placed /= weight_;
  weight_ = 1;
}

void Sharing::on_emptied(BackendId id, BackendSet others) {
  if (id >= placed_.size()) placed_.resize(id + 1);
  std::optional<double> fewest;
  for (BackendId other = 0; other < placed_.size(); ++other) {
    if (other == id || !others.contains(other)) continue;
    fewest = std::min(fewest.value_or(placed_[other]), placed_[other]);
  }
  placed_[id] = fewest.value_or(0);
}

}  // namespace batchproxy
