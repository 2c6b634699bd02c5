// tests/sim/engine_model_test.cc - the scheduling rules of the simulated engine.
#include "backends/sim/model/engine_model.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "backends/sim/model/hash.h"

namespace batchproxy::sim {
namespace {

constexpr int kBlock = kKvBlockTokens;

EngineLimits limits(std::int64_t kv_blocks, int max_num_seqs = 256,
                    int max_num_batched_tokens = 2048) {
  return {max_num_seqs, max_num_batched_tokens, kv_blocks, true};
}

EngineModel engine(const EngineLimits& limits) {
  return {Hardware(Gpu::kA100, 1), limits};
}

EngineRequest request(EngineRequestId id, int prompt_tokens, int output_tokens) {
  return {id, prompt_tokens, output_tokens, {}};
}

// `text` stands for the content of the prompt: equal texts have equal blocks.
EngineRequest with_text(EngineRequest base, std::uint64_t text) {
  for (int block = 0; block < base.prompt_tokens / kBlock; ++block) {
    base.blocks.push_back(mix(text, static_cast<std::uint64_t>(block)));
  }
  return base;
}

// One step; what it produced.
std::vector<TokenEvent> step(EngineModel& engine) {
  EXPECT_TRUE(engine.begin_step());
  const auto events = engine.end_step();
  return {events.begin(), events.end()};
}

int run_until_idle(EngineModel& engine) {
  int steps = 0;
  for (; engine.begin_step(); ++steps) engine.end_step();
  return steps;
}

TEST(EngineModel, HasNothingToDoWhenEmpty) {
  EngineModel model = engine(limits(100));
  EXPECT_FALSE(model.begin_step());
}

TEST(EngineModel, TheStepThatEndsThePromptGivesTheFirstToken) {
  EngineModel model = engine(limits(100));
  model.submit(request(1, 100, 2));
  const auto first = step(model);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].count, 1);
  EXPECT_FALSE(first[0].finished);
  const auto second = step(model);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_TRUE(second[0].finished);
  EXPECT_FALSE(model.begin_step());
  EXPECT_EQ(model.counters().prompt_tokens, 100u);
  EXPECT_EQ(model.counters().generation_tokens, 2u);
}

TEST(EngineModel, ALongPromptIsSplitIntoChunksOfTheTokenBudget) {
  EngineModel model = engine(limits(1000, 256, /*max_num_batched_tokens=*/128));
  model.submit(request(1, 300, 1));
  EXPECT_TRUE(step(model).empty());
  EXPECT_TRUE(step(model).empty());
  EXPECT_EQ(step(model).size(), 1u);
  EXPECT_EQ(model.counters().step_tokens, 300u);
}

TEST(EngineModel, DecodingComesBeforeANewPromptWithinTheBudget) {
  EngineModel model = engine(limits(1000, 256, /*max_num_batched_tokens=*/64));
  model.submit(request(1, 64, 10));
  step(model);
  model.submit(request(2, 64, 1));
  const auto mixed = step(model);  // 1 token of the first request, 63 of the second
  ASSERT_EQ(mixed.size(), 1u);
  EXPECT_EQ(mixed[0].id, 1u);
  EXPECT_EQ(step(model).size(), 2u);
}

TEST(EngineModel, RunsAtMostMaxNumSeqsRequests) {
  EngineModel model = engine(limits(1000, /*max_num_seqs=*/2));
  for (EngineRequestId id = 1; id <= 3; ++id) model.submit(request(id, 16, 4));
  step(model);
  EXPECT_EQ(model.running(), 2u);
  EXPECT_EQ(model.waiting(), 1u);
  run_until_idle(model);
  EXPECT_EQ(model.counters().generation_tokens, 12u);
}

TEST(EngineModel, AnEqualBeginningIsNotComputedAgain) {
  EngineModel model = engine(limits(1000));
  model.submit(with_text(request(1, 160, 1), 7));
  step(model);
  model.submit(with_text(request(2, 160, 1), 7));
  step(model);
  // The last block is computed again: its logits are needed.
  EXPECT_EQ(model.counters().prefix_hits, 144u);
  EXPECT_EQ(model.counters().prefix_queries, 320u);
  EXPECT_EQ(model.counters().step_tokens, 160u + 16u);
}

TEST(EngineModel, RequestsOfOneStepShareABeginningToo) {
  EngineModel model = engine(limits(1000));
  model.submit(with_text(request(1, 160, 1), 7));
  model.submit(with_text(request(2, 160, 1), 7));
  step(model);
  EXPECT_EQ(model.counters().prefix_hits, 144u);
}

TEST(EngineModel, DifferentTextsShareNothing) {
  EngineModel model = engine(limits(1000));
  model.submit(with_text(request(1, 160, 1), 7));
  model.submit(with_text(request(2, 160, 1), 8));
  model.submit(request(3, 160, 1));
  model.submit(request(4, 160, 1));
  step(model);
  EXPECT_EQ(model.counters().prefix_hits, 0u);
}

TEST(EngineModel, PrefixCachingCanBeSwitchedOff) {
  EngineLimits without = limits(1000);
  without.prefix_caching = false;
  EngineModel model = engine(without);
  model.submit(with_text(request(1, 160, 1), 7));
  model.submit(with_text(request(2, 160, 1), 7));
  step(model);
  EXPECT_EQ(model.counters().prefix_hits, 0u);
}

TEST(EngineModel, TheLastAdmittedIsPreemptedWhenTheCacheIsFullAndStillFinishes) {
  EngineModel model = engine(limits(/*kv_blocks=*/5));
  model.submit(request(1, 2 * kBlock, kBlock));
  model.submit(request(2, 2 * kBlock, kBlock));
  run_until_idle(model);
  EXPECT_EQ(model.counters().preemptions, 1u);
  EXPECT_EQ(model.counters().generation_tokens, 2u * kBlock);
  EXPECT_EQ(model.pool().free(), 5);
}

TEST(EngineModel, CouldHoldCountsEveryStoredToken) {
  const EngineModel model = engine(limits(/*kv_blocks=*/4));
  EXPECT_TRUE(model.could_hold(4 * kBlock, 1));  // the last token is not stored
  EXPECT_FALSE(model.could_hold(4 * kBlock, 2));
}

TEST(EngineModel, AbortFreesTheBlocksOfARunningRequest) {
  EngineModel model = engine(limits(100));
  model.submit(request(1, 160, 10));
  step(model);
  EXPECT_LT(model.pool().free(), 100);
  EXPECT_GT(model.kv_usage(), 0);
  EXPECT_TRUE(model.abort(1));
  EXPECT_EQ(model.pool().free(), 100);
  EXPECT_FALSE(model.abort(1));
  EXPECT_FALSE(model.begin_step());
}

TEST(EngineModel, AbortDuringAStepTakesTheRequestOutOfIt) {
  EngineModel model = engine(limits(100));
  model.submit(request(1, 16, 2));
  model.submit(request(2, 16, 2));
  ASSERT_TRUE(model.begin_step());
  model.abort(1);
  const auto events = model.end_step();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].id, 2u);
}

TEST(EngineModel, AbortReachesAWaitingRequest) {
  EngineModel model = engine(limits(100, /*max_num_seqs=*/1));
  model.submit(request(1, 16, 2));
  model.submit(request(2, 16, 2));
  step(model);
  EXPECT_TRUE(model.abort(2));
  EXPECT_EQ(model.waiting(), 0u);
  run_until_idle(model);
  EXPECT_EQ(model.counters().generation_tokens, 2u);
}

// Random submissions, steps and aborts on a cache that is far too small: each request that is not
// aborted gets exactly its tokens, in order, and in the end every block is free again.
TEST(EngineModel, KeepsEveryRequestAndEveryBlockUnderRandomEvents) {
  constexpr std::int64_t kBlocks = 40;
  EngineModel model = engine(limits(kBlocks, /*max_num_seqs=*/8, /*max_num_batched_tokens=*/96));
  std::mt19937 random(20240817);
  const auto below = [&random](int bound) {
    return static_cast<int>(random() % static_cast<unsigned>(bound));
  };
  std::map<EngineRequestId, std::pair<int, int>> live;  // wanted, received
  EngineRequestId next_id = 1;

  for (int event = 0; event < 20000; ++event) {
    const int kind = below(10);
    if (kind < 3 && live.size() < 30) {
      const EngineRequest next = with_text(request(next_id++, 1 + below(300), 1 + below(60)),
                                           static_cast<std::uint64_t>(below(4)));
      live[next.id] = {next.output_tokens, 0};
      model.submit(next);
    } else if (kind == 3 && !live.empty()) {
      const auto victim = std::next(live.begin(), below(static_cast<int>(live.size())));
      EXPECT_TRUE(model.abort(victim->first));
      live.erase(victim);
    } else if (model.begin_step()) {
      for (const TokenEvent& token : model.end_step()) {
        auto& [wanted, received] = live.at(token.id);
        ASSERT_EQ(token.count, ++received);
        ASSERT_EQ(token.finished, received == wanted);
        if (token.finished) live.erase(token.id);
      }
    } else {
      ASSERT_TRUE(live.empty());
    }
    ASSERT_EQ(model.running() + model.waiting(), live.size());
    ASSERT_LE(model.running(), 8u);
  }
  for (const auto& [id, progress] : live) model.abort(id);
  EXPECT_EQ(model.pool().free(), kBlocks);
  EXPECT_GT(model.counters().preemptions, 50u);
  EXPECT_GT(model.counters().prefix_hits, 1000u);
}

}  // namespace
}  // namespace batchproxy::sim
