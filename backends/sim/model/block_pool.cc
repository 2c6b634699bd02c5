// backends/sim/model/block_pool.cc - an intrusive LRU list over the blocks, and an index by
// content.
#include "backends/sim/model/block_pool.h"

#include <cassert>

namespace batchproxy::sim {

BlockPool::BlockPool(std::int64_t blocks) : blocks_(static_cast<std::size_t>(blocks)) {
  by_hash_.reserve(blocks_.size());
  for (BlockIndex block = 0; block < size(); ++block) link_newest(block);
}

std::optional<BlockIndex> BlockPool::find(BlockHash hash) const {
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end()) return std::nullopt;
  return found->second;
}

void BlockPool::hold(BlockIndex block) {
  if (at(block).holders++ == 0) unlink(block);
}

BlockIndex BlockPool::take() {
  assert(free_ > 0);
  const BlockIndex block = oldest_;
  unlink(block);
  Block& taken = at(block);
  if (taken.published) by_hash_.erase(taken.hash);
  taken.published = false;
  taken.holders = 1;
  return block;
}

void BlockPool::publish(BlockIndex block, BlockHash hash) {
  Block& filled = at(block);
  if (filled.published) return;
  filled.published = by_hash_.emplace(hash, block).second;
  filled.hash = hash;
}

void BlockPool::release(BlockIndex block) {
  assert(at(block).holders > 0);
  if (--at(block).holders == 0) link_newest(block);
}

void BlockPool::link_newest(BlockIndex block) {
  at(block).older = newest_;
  at(block).newer = kNone;
  if (newest_ != kNone) {
    at(newest_).newer = block;
  } else {
    oldest_ = block;
  }
  newest_ = block;
  ++free_;
}

void BlockPool::unlink(BlockIndex block) {
  const Block& leaving = at(block);
  if (leaving.older != kNone) {
    at(leaving.older).newer = leaving.newer;
  } else {
    oldest_ = leaving.newer;
  }
  if (leaving.newer != kNone) {
    at(leaving.newer).older = leaving.older;
  } else {
    newest_ = leaving.older;
  }
  --free_;
}

}  // namespace batchproxy::sim
