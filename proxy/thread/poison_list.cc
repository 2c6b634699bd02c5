// proxy/thread/poison_list.cc - see poison_list.h.
#include "proxy/thread/poison_list.h"

#include <algorithm>

namespace batchproxy {

void PoisonList::add(std::uint64_t content_key, TimePoint now) {
  const std::lock_guard lock(mutex_);
  forget(now);
  if (until_.size() >= kMax && !until_.contains(content_key)) {
    until_.erase(
        std::ranges::min_element(until_, {}, [](const auto& entry) { return entry.second; }));
  }
  until_[content_key] = now + kRemembered;
  size_ = until_.size();
}

bool PoisonList::contains(std::uint64_t content_key, TimePoint now) {
  const std::lock_guard lock(mutex_);
  forget(now);
  return until_.contains(content_key);
}

void PoisonList::forget(TimePoint now) {
  std::erase_if(until_, [now](const auto& entry) { return entry.second <= now; });
  size_ = until_.size();
}

}  // namespace batchproxy
