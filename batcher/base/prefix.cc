// batcher/base/prefix.cc - see prefix.h.
#include "batcher/base/prefix.h"

#include <algorithm>

#include <xxhash.h>

namespace batchproxy {

namespace {

constexpr std::size_t kFirstCut = 256;  // bytes
// What is shorter is computed anew sooner than it is worth a detour.
constexpr std::size_t kLeastBeginning = 1024;

constexpr std::size_t next_cut(std::size_t cut) {
  return cut + std::max(kFirstCut, cut / 8);
}

}  // namespace

PrefixChain::PrefixChain(std::string_view prompt, std::uint64_t seed) {
  std::uint64_t hash = seed;
  std::size_t begin = 0;
  for (std::size_t cut = kFirstCut; cut <= prompt.size(); cut = next_cut(cut)) {
    hash = XXH3_64bits_withSeed(prompt.data() + begin, cut - begin, hash);
    begin = cut;
    if (cut >= kLeastBeginning && 2 * cut >= prompt.size()) hashes_[count_++] = hash;
  }
}

}  // namespace batchproxy
