// backends/sim/model/engine_model.h - a continuous-batching engine after vLLM's: chunked prefill,
// running requests first, waiting ones in order of arrival, prefix caching, preemption by
// recomputation.
//
// Sans-io, in virtual time: begin_step() says how long the step takes, the caller decides what
// "later" means and then calls end_step().
//
//   while (auto seconds = engine.begin_step()) { now += *seconds; use(engine.end_step()); }
//
// Threading: confined to the caller.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "backends/sim/model/block_pool.h"
#include "backends/sim/model/hardware.h"

namespace batchproxy::sim {

using EngineRequestId = std::uint64_t;

struct EngineRequest {
  EngineRequestId id = 0;  // unique among the live requests
  int prompt_tokens = 0;   // at least 1
  int output_tokens = 0;   // at least 1
  // Hashes of the full blocks of prompt (and, if known, answer), each covering all before it: equal
  // hashes mean an equal beginning. Blocks that are not listed are shared with no other request.
  std::vector<BlockHash> blocks;
};

struct EngineLimits {
  int max_num_seqs = 256;
  int max_num_batched_tokens = 2048;
  std::int64_t kv_blocks = 0;
  bool prefix_caching = true;
};

// A request got its `count`th token.
struct TokenEvent {
  EngineRequestId id;
  int count;
  bool finished;
};

struct EngineCounters {
  std::uint64_t steps = 0;
  std::uint64_t step_tokens = 0;  // computed, over all steps
  std::uint64_t prompt_tokens = 0;
  std::uint64_t generation_tokens = 0;
  std::uint64_t prefix_queries = 0;  // prompt tokens looked up in the prefix cache
  std::uint64_t prefix_hits = 0;     // of these, found
  std::uint64_t preemptions = 0;
  double busy_seconds = 0;
};

class EngineModel {
 public:
  EngineModel(const Hardware& hardware, const EngineLimits& limits);

  // Whether a request of this size fits into the KV cache at all.
  bool could_hold(int prompt_tokens, int output_tokens) const;

  // Queues a request; could_hold() it must.
  void submit(EngineRequest request);

  // Forgets a request in any state. False if it is not here (any more).
  bool abort(EngineRequestId id);

  // Plans the next step and returns its duration in seconds, or nothing when there is no work.
  // A step must have ended before the next begins.
  std::optional<double> begin_step();

  // Ends the step; valid until the next call of any function.
  std::span<const TokenEvent> end_step();

  bool stepping() const { return stepping_; }
  std::size_t running() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  double kv_usage() const;
  const EngineCounters& counters() const { return counters_; }
  const EngineLimits& limits() const { return limits_; }
  const BlockPool& pool() const { return pool_; }

 private:
  using Slot = std::uint32_t;  // of sequences_; reused when its request has left

  struct Sequence {
    EngineRequest request;
    std::vector<BlockIndex> held;
    int published = 0;  // of `held`, the first so many have been published
    int computed = 0;   // tokens whose KV is in `held`
    int generated = 0;
    int chunk = 0;  // tokens of the step in progress
    bool looked_up = false;

    int total() const { return request.prompt_tokens + generated; }
  };

  void schedule_running(int& budget, bool& preempted);
  void admit_waiting(int& budget);
  bool admit(Sequence& sequence, int budget);
  bool grow(Sequence& sequence, int tokens);
  void preempt_last();
  int find_prefix(const Sequence& sequence);
  BlockHash block_hash(const Sequence& sequence, int block) const;
  void publish_up_to(Sequence& sequence, int tokens);
  void release_blocks(Sequence& sequence);
  void retire(Slot slot);
  StepLoad load_of_step() const;

  const Hardware hardware_;
  const EngineLimits limits_;
  BlockPool pool_;
  std::vector<Sequence> sequences_;
  std::vector<Slot> vacant_;
  std::unordered_map<EngineRequestId, Slot> slots_;
  std::deque<Slot> waiting_;
  std::vector<Slot> running_;       // in order of admission
  std::vector<Slot> scheduled_;     // of the step in progress
  std::vector<BlockIndex> prefix_;  // scratch of admit()
  std::vector<TokenEvent> events_;
  EngineCounters counters_;
  bool stepping_ = false;
};

}  // namespace batchproxy::sim
