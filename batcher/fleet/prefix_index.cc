// batcher/fleet/prefix_index.cc - see prefix_index.h.
#include "batcher/fleet/prefix_index.h"

#include <algorithm>
#include <span>

namespace batchproxy {

void PrefixIndex::set_capacity(BackendId backend, std::uint64_t tokens) {
  if (backend >= caches_.size()) caches_.resize(backend + 1);
  caches_[backend].capacity = tokens;
}

PrefixIndex::Match PrefixIndex::find(const PrefixChain& prefix, BackendSet among) const {
  const std::span<const std::uint64_t> hashes = prefix.hashes();
  for (std::size_t i = hashes.size(); i-- > 0;) {
    const std::uint64_t hash = hashes[i];
    for (const Entries* generation : {&young_, &old_}) {
      const auto found = generation->find(hash);
      if (found == generation->end()) continue;
      const BackendSet set = holders(found->second) & among;
      if (set.empty()) continue;
      // A chain's cuts lie between the half of the prompt and its end.
      const double place = (static_cast<double>(i) + 0.5) / static_cast<double>(hashes.size());
      return {set, hash, (1 + place) / 2};
    }
  }
  return {};
}

bool PrefixIndex::holds(std::uint64_t beginning, BackendId backend) const {
  for (const Entries* generation : {&young_, &old_}) {
    const auto found = generation->find(beginning);
    if (found != generation->end()) return holders(found->second).contains(backend);
  }
  return false;
}

void PrefixIndex::sent(const PrefixChain& prefix, std::uint32_t tokens, BackendId backend) {
  if (backend >= caches_.size()) caches_.resize(backend + 1);
  Cache& cache = caches_[backend];
  cache.sent += tokens;
  for (const std::uint64_t hash : prefix.hashes()) {
    auto& homes = touch(hash).homes;
    // Its own place, else a free or void one, else the one that was used longest ago.
    auto place = std::ranges::find_if(
        homes, [&](const Home& home) { return home.when != 0 && home.backend == backend; });
    if (place == homes.end()) {
      place = std::ranges::find_if(homes, [this](const Home& home) { return !holds(home); });
    }
    if (place == homes.end()) place = std::ranges::min_element(homes, {}, &Home::when);
    *place = {backend, cache.sent};
  }
}

void PrefixIndex::forget(BackendId backend) {
  if (backend < caches_.size()) caches_[backend].since = ++caches_[backend].sent;
}

bool PrefixIndex::holds(const Home& home) const {
  if (home.when == 0) return false;
  const Cache& cache = caches_[home.backend];
  if (home.when < cache.since) return false;
  return cache.capacity == 0 || cache.sent - home.when <= cache.capacity;
}

BackendSet PrefixIndex::holders(const Entry& entry) const {
  BackendSet set;
  for (const Home& home : entry.homes) {
    if (holds(home)) set.insert(home.backend);
  }
  return set;
}

PrefixIndex::Entry& PrefixIndex::touch(std::uint64_t hash) {
  if (const auto found = young_.find(hash); found != young_.end()) return found->second;
  Entry entry;
  if (const auto found = old_.find(hash); found != old_.end()) {
    entry = found->second;
    old_.erase(found);
  }
  if (young_.size() >= kGeneration) {
    old_.swap(young_);
    young_.clear();
  }
  return young_.emplace(hash, entry).first->second;
}

}  // namespace batchproxy
