// backends/roster.h - Roster: all backends at one moment, and who of them serves what.
//
// Threading: immutable; shared by all threads.
#pragma once

#include <memory>
#include <vector>

#include "backends/backend.h"
#include "backends/model_table.h"
#include "batcher/base/backend_set.h"

namespace batchproxy {

class Roster {
 public:
  Roster() = default;
  Roster(std::vector<BackendPtr> backends, ModelTablePtr models);

  // By BackendId; one that has been removed stays until its id is given to another.
  const std::vector<BackendPtr>& all() const { return backends_; }
  const BackendRecord& operator[](BackendId id) const { return *backends_[id]; }
  // Null when there has never been one.
  const BackendRecord* find(BackendId id) const {
    return id < backends_.size() ? backends_[id].get() : nullptr;
  }
  // The backends that the configuration asks for.
  const std::vector<BackendPtr>& present() const { return present_; }
  // The backends that take requests.
  const BackendSet& ready() const { return ready_; }
  // Which backends serve which model. Never null.
  const ModelTablePtr& models() const { return models_; }

 private:
  std::vector<BackendPtr> backends_;
  std::vector<BackendPtr> present_;  // these two follow from it
  BackendSet ready_;
  ModelTablePtr models_ = std::make_shared<const ModelTable>();
};

using RosterPtr = std::shared_ptr<const Roster>;

}  // namespace batchproxy
