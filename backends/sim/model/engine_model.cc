// backends/sim/model/engine_model.cc - the scheduler of one simulated engine.
#include "backends/sim/model/engine_model.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace batchproxy::sim {
namespace {

int blocks_for(int tokens) {
  return (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
}

// A hash that no other request has: for blocks whose content nobody else can know.
BlockHash private_hash(EngineRequestId id, int block) {
  BlockHash hash =
      (id + 1) * 0x9E3779B97F4A7C15u ^ (static_cast<BlockHash>(block) + 1) * 0xD6E8FEB86659FD93u;
  hash ^= hash >> 31;
  hash *= 0xBF58476D1CE4E5B9u;
  return hash ^ hash >> 29;
}

}  // namespace

EngineModel::EngineModel(const Hardware& hardware, const EngineLimits& limits)
    : hardware_(hardware), limits_(limits), pool_(limits.kv_blocks) {}

bool EngineModel::could_hold(int prompt_tokens, int output_tokens) const {
  // The last token is given out, never stored.
  return blocks_for(prompt_tokens + output_tokens - 1) <= pool_.size();
}

void EngineModel::submit(EngineRequest request) {
  assert(request.prompt_tokens > 0 && request.output_tokens > 0);
  assert(could_hold(request.prompt_tokens, request.output_tokens));
  Slot slot;
  if (vacant_.empty()) {
    slot = static_cast<Slot>(sequences_.size());
    sequences_.emplace_back();
  } else {
    slot = vacant_.back();
    vacant_.pop_back();
  }
  [[maybe_unused]] const bool is_new = slots_.emplace(request.id, slot).second;
  assert(is_new);
  sequences_[slot].request = std::move(request);
  waiting_.push_back(slot);
}

bool EngineModel::abort(EngineRequestId id) {
  const auto found = slots_.find(id);
  if (found == slots_.end()) return false;
  const Slot slot = found->second;
  std::erase(waiting_, slot);
  std::erase(running_, slot);
  std::erase(scheduled_, slot);
  retire(slot);
  return true;
}

std::optional<double> EngineModel::begin_step() {
  assert(!stepping_);
  scheduled_.clear();
  int budget = limits_.max_num_batched_tokens;
  bool preempted = false;
  schedule_running(budget, preempted);
  // Whoever was preempted must not be let in again at once, nor anybody in his place.
  if (!preempted) admit_waiting(budget);
  if (scheduled_.empty()) return std::nullopt;

  for (const Slot slot : scheduled_) {
    Sequence& sequence = sequences_[slot];
    publish_up_to(sequence, sequence.computed + sequence.chunk);
  }
  const StepLoad load = load_of_step();
  const double seconds = hardware_.step_seconds(load);
  ++counters_.steps;
  counters_.step_tokens += static_cast<std::uint64_t>(load.tokens);
  counters_.busy_seconds += seconds;
  stepping_ = true;
  return seconds;
}

std::span<const TokenEvent> EngineModel::end_step() {
  assert(stepping_);
  stepping_ = false;
  events_.clear();
  bool any_finished = false;
  for (const Slot slot : scheduled_) {
    Sequence& sequence = sequences_[slot];
    sequence.computed += sequence.chunk;
    if (sequence.computed < sequence.total()) continue;  // more of the prompt is to come
    if (++sequence.generated == 1) {
      counters_.prompt_tokens += static_cast<std::uint64_t>(sequence.request.prompt_tokens);
    }
    ++counters_.generation_tokens;
    const bool finished = sequence.generated >= sequence.request.output_tokens;
    any_finished |= finished;
    events_.push_back({sequence.request.id, sequence.generated, finished});
  }
  if (any_finished) {
    std::erase_if(running_, [this](Slot slot) {
      const Sequence& sequence = sequences_[slot];
      return sequence.generated >= sequence.request.output_tokens;
    });
    for (const TokenEvent& event : events_) {
      if (event.finished) retire(slots_.at(event.id));
    }
  }
  scheduled_.clear();
  return events_;
}

double EngineModel::kv_usage() const {
  if (pool_.size() == 0) return 0;
  return 1.0 - static_cast<double>(pool_.free()) / static_cast<double>(pool_.size());
}

void EngineModel::schedule_running(int& budget, bool& preempted) {
  for (std::size_t i = 0; i < running_.size() && budget > 0; ++i) {
    const Slot slot = running_[i];
    Sequence& sequence = sequences_[slot];
    const int chunk = std::min(sequence.total() - sequence.computed, budget);
    while (!grow(sequence, sequence.computed + chunk)) {
      const bool gave_up_itself = running_.back() == slot;
      preempt_last();
      preempted = true;
      if (gave_up_itself) return;
    }
    sequence.chunk = chunk;
    budget -= chunk;
    scheduled_.push_back(slot);
  }
}

void EngineModel::admit_waiting(int& budget) {
  while (!waiting_.empty() && budget > 0 &&
         std::ssize(running_) < static_cast<std::ptrdiff_t>(limits_.max_num_seqs)) {
    const Slot slot = waiting_.front();
    Sequence& sequence = sequences_[slot];
    if (!admit(sequence, budget)) return;  // first come, first served: nobody overtakes
    budget -= sequence.chunk;
    waiting_.pop_front();
    running_.push_back(slot);
    scheduled_.push_back(slot);
  }
}

bool EngineModel::admit(Sequence& sequence, int budget) {
  const int cached_blocks = find_prefix(sequence);
  const int cached = cached_blocks * kKvBlockTokens;
  const int chunk = std::min(sequence.total() - cached, budget);
  const auto revived =
      std::ranges::count_if(prefix_, [this](BlockIndex block) { return pool_.is_free(block); });
  const int fresh = blocks_for(cached + chunk) - cached_blocks;
  if (fresh + revived > pool_.free()) return false;

  for (const BlockIndex block : prefix_) pool_.hold(block);
  sequence.held.assign(prefix_.begin(), prefix_.end());
  sequence.published = cached_blocks;
  sequence.computed = cached;
  sequence.chunk = chunk;
  if (!sequence.looked_up) {
    // Counted once: a second look after a preemption says nothing about the workload.
    sequence.looked_up = true;
    const int prompt = sequence.request.prompt_tokens;
    counters_.prefix_queries += static_cast<std::uint64_t>(prompt);
    counters_.prefix_hits += static_cast<std::uint64_t>(std::min(cached, prompt));
  }
  grow(sequence, cached + chunk);
  // Published before it is computed: the next in this very step may share it.
  publish_up_to(sequence, cached + chunk);
  return true;
}

// Makes room for `tokens` tokens in all; false, and nothing changes, when too few blocks are free.
bool EngineModel::grow(Sequence& sequence, int tokens) {
  const std::int64_t missing = blocks_for(tokens) - std::ssize(sequence.held);
  if (missing > pool_.free()) return false;
  for (std::int64_t i = 0; i < missing; ++i) sequence.held.push_back(pool_.take());
  return true;
}

void EngineModel::preempt_last() {
  const Slot slot = running_.back();
  running_.pop_back();
  Sequence& sequence = sequences_[slot];
  release_blocks(sequence);
  sequence.computed = 0;
  waiting_.push_front(slot);
  ++counters_.preemptions;
}

// Fills prefix_ with the cached blocks that `sequence` begins with. At least one token is left to
// compute: its logits are needed.
int EngineModel::find_prefix(const Sequence& sequence) {
  prefix_.clear();
  if (!limits_.prefix_caching) return 0;
  const int most = (sequence.total() - 1) / kKvBlockTokens;
  for (int i = 0; i < most; ++i) {
    const std::optional<BlockIndex> block = pool_.find(block_hash(sequence, i));
    if (!block) break;
    prefix_.push_back(*block);
  }
  return static_cast<int>(prefix_.size());
}

BlockHash EngineModel::block_hash(const Sequence& sequence, int block) const {
  const auto index = static_cast<std::size_t>(block);
  if (index < sequence.request.blocks.size()) return sequence.request.blocks[index];
  return private_hash(sequence.request.id, block);
}

void EngineModel::publish_up_to(Sequence& sequence, int tokens) {
  if (!limits_.prefix_caching) return;
  for (; sequence.published < tokens / kKvBlockTokens; ++sequence.published) {
    pool_.publish(sequence.held[static_cast<std::size_t>(sequence.published)],
                  block_hash(sequence, sequence.published));
  }
}

void EngineModel::release_blocks(Sequence& sequence) {
  // Last block first: the beginning of a prompt is the likeliest to be asked for again.
  for (auto block = sequence.held.rbegin(); block != sequence.held.rend(); ++block) {
    pool_.release(*block);
  }
  sequence.held.clear();
  sequence.published = 0;
}

void EngineModel::retire(Slot slot) {
  Sequence& sequence = sequences_[slot];
  release_blocks(sequence);
  slots_.erase(sequence.request.id);
  std::vector<BlockIndex> storage = std::move(sequence.held);
  sequence = Sequence{};
  sequence.held = std::move(storage);  // keeps its capacity for the next request
  vacant_.push_back(slot);
}

StepLoad EngineModel::load_of_step() const {
  StepLoad load;
  load.sequences = static_cast<int>(scheduled_.size());
  for (const Slot slot : scheduled_) {
    const Sequence& sequence = sequences_[slot];
    const int chunk = sequence.chunk;
    const int computed = sequence.computed;
    load.tokens += chunk;
    if (computed + chunk == sequence.total()) ++load.sampled;
    if (chunk == 1 && sequence.generated > 0) {
      load.decode_context += computed + 1;
    } else {
      load.prefill_pairs += chunk * (computed + chunk * 0.5);
      load.prefill_context += computed;
    }
  }
  return load;
}

}  // namespace batchproxy::sim
