// proxy/metrics/model_tally.cc - see model_tally.h.
#include "proxy/metrics/model_tally.h"

namespace batchproxy {

ModelTally::ModelTally() : counts_(std::make_unique<ModelCounts[]>(kMost)) {
  counts_[0].name = kOthers;
}

ModelCounts* ModelTally::of(std::string_view name) {
  name = name.substr(0, kLongest);
  if (last_ != nullptr && last_->name == name) return last_;
  if (name.empty()) return nullptr;
  if (const auto known = by_name_.find(name); known != by_name_.end()) return last_ = known->second;
  const std::size_t used = used_.load(std::memory_order_relaxed);
  if (used == kMost) return others();
  ModelCounts& added = counts_[used];
  added.name = name;
  by_name_.emplace(added.name, &added);
  used_.store(used + 1, std::memory_order_release);
  return last_ = &added;
}

}  // namespace batchproxy
