// batcher/batch_ledger.h - follows batches from their grant to their last answer, for the line
// that `flush: fixed` prints about each.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "batcher/base/ticket.h"

namespace batchproxy {

struct BatchSummary {
  BatchInfo batch;
  BackendId backend = 0;
  std::uint32_t answered = 0;  // prompts answered with success
  Duration took{};             // from the grant to the last answer
};

class BatchLedger {
 public:
  // A ticket of `batch` was granted. Call once per ticket; the first call opens the batch.
  void granted(const Verdict& verdict, TimePoint now);

  // `prompts` prompts of batch `id` have ended. Returns the summary when they were the last.
  std::optional<BatchSummary> completed(std::uint64_t id, std::uint32_t prompts, bool ok,
                                        TimePoint now);

  std::size_t open() const { return open_.size(); }

 private:
  struct Open {
    BatchSummary summary;
    std::uint32_t remaining = 0;
    TimePoint since{};
  };
  std::unordered_map<std::uint64_t, Open> open_;
};

}  // namespace batchproxy
