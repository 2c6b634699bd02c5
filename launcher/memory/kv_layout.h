// launcher/memory/kv_layout.h - how vLLM lays a model's caches out in blocks, and how many blocks a
// sequence takes.
//
// Layers of one kind are put into groups of one size; the last group is padded. All groups draw
// from one pool: a block of the pool holds a page of each layer of some group. A group of full
// attention takes a block for every `block_size` tokens, a windowed one stops at its window, a
// recurrent one takes a block or two however long the text is. docs/MEMORY.md has it in words.
//
// The simulated engine has its own sums (backends/sim/memory.h): an engine does not know of a
// launcher, and a plan that is tried against it must not agree by being the same code.
//
// Threading: pure functions and plain values, any thread.
#pragma once

#include <cstdint>

#include "launcher/memory/engine_flags.h"
#include "launcher/memory/model/model_shape.h"
#include "launcher/memory/model/not_planned.h"

namespace batchproxy {

struct KvLayout {
  std::int64_t block_size = 16;       // tokens
  std::int64_t pool_block_bytes = 0;  // per GPU
  CacheLayers groups;                 // of each kind, instead of layers
  std::int64_t window = 0;
  std::int64_t chunk = 0;
  std::int64_t in_flight = 0;  // tokens of a window that are not yet done with
  std::int64_t states = 0;     // blocks of a recurrent group for a sequence

  // Blocks that a sequence of so many tokens takes.
  std::int64_t blocks_for(std::int64_t tokens) const;

  // The most tokens, up to `limit`, that a sequence may have in `blocks`; 0 when none fits.
  std::int64_t longest_in(std::int64_t blocks, std::int64_t limit) const;

  // Bytes that one more token of a long text takes on a GPU; of a model whose layers all have a
  // window, those of a token within it.
  std::int64_t bytes_per_token() const;
};

// `layers` are those of one pipeline stage, drafts included. A reason for cache types, and for
// splits, that have no formula. `max_num_batched_tokens` is as in force.
Planned<KvLayout> kv_layout(const ModelShape& shape, const CacheLayers& layers,
                            const EngineFlags& flags, std::int64_t max_num_batched_tokens);

}  // namespace batchproxy
