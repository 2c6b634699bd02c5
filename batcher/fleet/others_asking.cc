// batcher/fleet/others_asking.cc - see others_asking.h.
#include "batcher/fleet/others_asking.h"

#include <algorithm>

namespace batchproxy {

namespace {

std::uint32_t others_on(const Fleet& fleet, const BackendSet& among) {
  std::uint32_t sum = 0;
  for (const Backend& backend : fleet) {
    if (among.contains(fleet.id_of(backend))) sum += backend.inflight - backend.background;
  }
  return sum;
}

// The first ones, so that they stay the same.
void add_light(const Fleet& fleet, const BackendSet& among, double wanted, double share,
               BackendSet& light) {
  for (const Backend& backend : fleet) {
    const BackendId id = fleet.id_of(backend);
    if (!among.contains(id) || !backend.is_open()) continue;
    light.insert(id);
    wanted -= share * std::min(backend.room_now(), backend.traits.max_num_seqs);
    if (wanted <= 0) return;
  }
}

}  // namespace

void OthersAsking::forget(TimePoint now) {
  std::erase_if(asked_, [now](const Asked& asked) { return now - asked.last >= kQuiet; });
}

void OthersAsking::on_submitted(const BackendSet& among, TimePoint now) {
  const auto same = std::ranges::find(asked_, among, &Asked::among);
  if (same == asked_.end()) {
    forget(now);
    asked_.push_back({among, now});
  } else {
    same->last = std::max(same->last, now);
  }
}

BackendSet OthersAsking::light(const Fleet& fleet, double share, TimePoint now) {
  forget(now);
  BackendSet light;
  for (Asked& asked : asked_) {
    const std::uint32_t others = others_on(fleet, asked.among);
    if (others >= asked.most || now - asked.most_at >= kRemembered) {
      asked.most = others;
      asked.most_at = now;
    }
    add_light(fleet, asked.among, asked.most, share, light);
  }
  return light;
}

}  // namespace batchproxy
