// batcher/decision/batches.h - Batches: granted tickets on their way out. What is granted to one
// backend in one go leaves as one batch, of at most batch_size prompts.
//
// Each backend has at most one open batch, and none between two decisions.
//
// Threading: confined to the lane.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/base/flush_reason.h"
#include "batcher/base/ticket.h"

namespace batchproxy {

class Batches {
 public:
  void add_backend(BackendId id) {
    if (id >= open_.size()) open_.resize(id + 1);
  }

  // Puts a granted ticket into the open batch of backend `id`.
  void add(Ticket& ticket, BackendId id) {
    with_open_.insert(id);
    open_[id].tickets.push_back(&ticket);
    open_[id].prompts += ticket.prompts;
  }
  std::uint32_t open_prompts(BackendId id) const { return open_[id].prompts; }

  // The open batch of backend `id`, if there is one, leaves because of `reason`: each of its
  // tickets is told, and appended to `decided`.
  void close(BackendId id, FlushReason reason, std::vector<Ticket*>& decided) {
    if (with_open_.contains(id)) leave(id, reason, decided);
  }
  // Likewise of all backends.
  void close_all(FlushReason reason, std::vector<Ticket*>& decided) {
    for (const BackendId id : with_open_) leave(id, reason, decided);
  }

  // Number of the batch that was closed last.
  std::uint64_t last() const { return last_; }
  // Batches so far that left for this reason.
  std::uint64_t count(FlushReason reason) const {
    return counts_[static_cast<std::size_t>(reason)];
  }

 private:
  struct Open {
    std::vector<Ticket*> tickets;
    std::uint32_t prompts = 0;
  };
  void leave(BackendId id, FlushReason reason, std::vector<Ticket*>& decided);

  std::vector<Open> open_;  // by backend
  BackendSet with_open_;
  std::uint64_t last_ = 0;
  std::array<std::uint64_t, kAllFlushReasons.size()> counts_{};
};

}  // namespace batchproxy
