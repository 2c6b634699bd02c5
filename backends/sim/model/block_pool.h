// backends/sim/model/block_pool.h - the KV cache: a fixed number of blocks, each held by some
// sequences, or free. A free block keeps its content, and can be found by the content's hash, until
// it is handed out again; the block that was freed longest ago goes first.
//
// Invariant: a block is in the free list exactly when nobody holds it.
//
// Threading: confined to the engine.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace batchproxy::sim {

using BlockHash = std::uint64_t;
using BlockIndex = std::int32_t;

class BlockPool {
 public:
  explicit BlockPool(std::int64_t blocks);

  std::int64_t size() const { return static_cast<std::int64_t>(blocks_.size()); }
  std::int64_t free() const { return free_; }

  // The block whose content has this hash, held or free.
  std::optional<BlockIndex> find(BlockHash hash) const;
  bool is_free(BlockIndex block) const { return at(block).holders == 0; }

  // One more sequence holds `block`, which find() returned.
  void hold(BlockIndex block);

  // Hands out the free block that was released longest ago; its content is forgotten.
  // Needs free() > 0.
  BlockIndex take();

  // Says what a held block contains. The first block with some content is the one that is found.
  void publish(BlockIndex block, BlockHash hash);

  // One holder lets go.
  void release(BlockIndex block);

 private:
  static constexpr BlockIndex kNone = -1;

  struct Block {
    BlockHash hash = 0;
    std::int32_t holders = 0;
    bool published = false;
    BlockIndex older = kNone;  // neighbours in the free list
    BlockIndex newer = kNone;
  };

  Block& at(BlockIndex block) { return blocks_[static_cast<std::size_t>(block)]; }
  const Block& at(BlockIndex block) const { return blocks_[static_cast<std::size_t>(block)]; }
  void link_newest(BlockIndex block);
  void unlink(BlockIndex block);

  std::vector<Block> blocks_;
  std::unordered_map<BlockHash, BlockIndex> by_hash_;
  BlockIndex oldest_ = kNone;
  BlockIndex newest_ = kNone;
  std::int64_t free_ = 0;
};

}  // namespace batchproxy::sim
