// batcher/fleet/prefix_index.h - PrefixIndex: which backends hold the beginning of a prompt in
// their cache.
//
// A guess from what was sent where: an engine keeps a prompt's beginning until newer prompts have
// filled its KV cache, so an entry expires when its backend has been sent that many tokens since.
// Memory is bounded by two generations of entries: when the young one is full the old one is
// forgotten and the young becomes old; an entry that is used again is young again.
//
// Threading: confined to the lane.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "batcher/base/backend_set.h"
#include "batcher/base/prefix.h"

namespace batchproxy {

class PrefixIndex {
 public:
  static constexpr std::size_t kGeneration = 1 << 16;  // entries

  // How many tokens `backend` keeps; 0 when that is unknown: then nothing expires by it.
  void set_capacity(BackendId backend, std::uint64_t tokens);

  // The longest beginning of a prompt that some backend of `among` holds: who, its hash (0: there
  // is none), and how much of the prompt it is, roughly.
  struct Match {
    BackendSet holders;
    std::uint64_t beginning = 0;
    double share = 0;
  };
  Match find(const PrefixChain& prefix, BackendSet among) const;

  // Whether `backend` holds it: a Match's beginning, or 0.
  bool holds(std::uint64_t beginning, BackendId backend) const;

  // A prompt of which the backend did not hold about `tokens` tokens was sent to it.
  void sent(const PrefixChain& prefix, std::uint32_t tokens, BackendId backend);

  // `backend` was restarted: its cache is empty.
  void forget(BackendId backend);

 private:
  struct Home {
    BackendId backend = 0;
    std::uint64_t when = 0;  // the backend's `sent` count then; 0 is a free place
  };
  static constexpr std::size_t kMaxHomes = 8;
  struct Entry {
    std::array<Home, kMaxHomes> homes{};
  };
  using Entries = boost::unordered_flat_map<std::uint64_t, Entry>;

  struct Cache {
    std::uint64_t capacity = 0;
    std::uint64_t sent = 1;   // tokens, ever
    std::uint64_t since = 1;  // homes from before are void
  };

  bool holds(const Home& home) const;
  BackendSet holders(const Entry& entry) const;
  Entry& touch(std::uint64_t hash);

  std::vector<Cache> caches_;
  Entries young_;
  Entries old_;
};

}  // namespace batchproxy
