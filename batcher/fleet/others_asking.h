// batcher/fleet/others_asking.h - OthersAsking: which backends carry less of batches, because
// others ask as well.
//
// An engine's tokens take longer the fuller it is, and a batch fills it. So while others ask, a few
// of the backends that may serve them are kept light: their requests go there, as the least loaded
// ones, and find an engine that is not full. All others are the batch's. When nobody else has asked
// for a while, none is light.
//
// Pure. As many are light as the others' requests fill, up to the share of its room that a batch
// may have of a light one: so nobody is slowed down by having to share few engines, either.
//
// Threading: confined to the scheduler's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/base/time.h"
#include "batcher/fleet/fleet.h"

namespace batchproxy {

class OthersAsking {
 public:
  // For so long after a request of others a batch makes room for the next.
  static constexpr Duration kQuiet = std::chrono::seconds(10);
  // So long it is remembered how many there were at once. An engine needs a batch's answer's time to
  // become light, and whoever comes first to it is slow: it should not come and go.
  static constexpr Duration kRemembered = std::chrono::seconds(60);

  // A request that is not a batch's, and may go to any of `among`.
  void on_submitted(const BackendSet& among, TimePoint now);

  // Those where a batch has `share` of the room at most.
  BackendSet light(const Fleet& fleet, double share, TimePoint now);

 private:
  void forget(TimePoint now);  // whoever has not asked of late

  // Requests that the same backends may serve.
  struct Asked {
    BackendSet among;
    TimePoint last{};
    std::uint32_t most = 0;  // prompts of others in flight at once, of late
    TimePoint most_at{};
  };
  std::vector<Asked> asked_;  // few: as many as there are models
};

}  // namespace batchproxy
