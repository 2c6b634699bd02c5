// batcher/routes.h - Routes: which backends serve which model, as the lane needs to know it.
//
// Threading: a value; made on the control thread, used on the lane.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "batcher/base/backend_set.h"

namespace batchproxy {

struct Routes {
  // Tickets say which version they were made with; the lane looks up those of any other.
  std::uint64_t version = 0;
  std::unordered_map<std::uint64_t, BackendSet> models;  // by Ticket::model
  BackendSet anything;                                   // for a name that is not among them
  bool complete = true;  // false while a backend has not said yet what it serves

  BackendSet find(std::uint64_t model) const {
    const auto it = models.find(model);
    return it == models.end() ? anything : it->second;
  }
};

}  // namespace batchproxy
