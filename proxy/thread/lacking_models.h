// proxy/thread/lacking_models.h - LackingModels: the models whose engines have been found to lack
// something, for as long as the backends stay what they are.
//
// Threading: confined to one I/O thread.
#pragma once

#include <cstdint>
#include <unordered_set>

#include "backends/roster.h"

namespace batchproxy {

class LackingModels {
 public:
  // `model` is a name's text_key(); `roster` the newest.
  bool has(std::uint64_t model, const RosterPtr& roster) const {
    return roster == of_ && models_.contains(model);
  }
  void add(std::uint64_t model, const RosterPtr& roster) {
    // Names may be any, where an engine does not look at them.
    if (roster != of_ || models_.size() == kMost) models_.clear();
    of_ = roster;
    models_.insert(model);
  }

 private:
  static constexpr std::size_t kMost = 1024;

  RosterPtr of_;
  std::unordered_set<std::uint64_t> models_;
};

}  // namespace batchproxy
