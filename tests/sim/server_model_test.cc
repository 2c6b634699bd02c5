// tests/sim/server_model_test.cc - front end and engine together, in virtual time.
#include "backends/sim/model/server_model.h"

#include <functional>
#include <queue>
#include <vector>

#include <gtest/gtest.h>

#include "backends/sim/model/hash.h"

namespace batchproxy::sim {
namespace {

constexpr FrontEndCosts kNoCosts{0, 0, 0};

EngineLimits default_limits(const Hardware& hardware) {
  return {hardware.default_max_num_seqs(), hardware.default_max_num_batched_tokens(),
          hardware.kv_tokens(0.9) / kKvBlockTokens, true};
}

ServerModel server(const FrontEndCosts& costs = {}) {
  const Hardware hardware(Gpu::kA100, 2);
  return {hardware, default_limits(hardware), costs};
}

std::vector<Delivery> run_until_idle(ServerModel& model) {
  std::vector<Delivery> all;
  while (const auto next = model.next_event()) {
    for (const Delivery& delivery : model.advance(*next)) all.push_back(delivery);
  }
  return all;
}

TEST(ServerModel, AWholeAnswerIsOneDelivery) {
  ServerModel model = server();
  ASSERT_TRUE(model.begin_call(1, {{100, 5, {}}}, /*stream=*/false, 0));
  const auto deliveries = run_until_idle(model);
  ASSERT_EQ(deliveries.size(), 1u);
  EXPECT_EQ(deliveries[0].tokens, 5);
  EXPECT_TRUE(deliveries[0].call_finished);
  EXPECT_EQ(model.open_calls(), 0u);
}

TEST(ServerModel, AStreamDeliversEveryToken) {
  ServerModel model = server();
  model.begin_call(1, {{100, 5, {}}}, /*stream=*/true, 0);
  const auto deliveries = run_until_idle(model);
  ASSERT_EQ(deliveries.size(), 5u);
  EXPECT_LT(deliveries[0].at, deliveries[4].at);
  EXPECT_FALSE(deliveries[3].call_finished);
  EXPECT_TRUE(deliveries[4].call_finished);
}

TEST(ServerModel, AListCallIsFinishedWithItsSlowestItem) {
  ServerModel model = server();
  model.begin_call(1, {{100, 50, {}}, {100, 1, {}}}, /*stream=*/false, 0);
  const auto deliveries = run_until_idle(model);
  ASSERT_EQ(deliveries.size(), 2u);
  EXPECT_EQ(deliveries[0].item, 1);
  EXPECT_FALSE(deliveries[0].call_finished);
  EXPECT_EQ(deliveries[1].item, 0);
  EXPECT_TRUE(deliveries[1].call_finished);
}

TEST(ServerModel, ACancelledCallDeliversNothingAndLeavesTheEngine) {
  ServerModel model = server();
  model.begin_call(1, {{100, 50, {}}, {100, 50, {}}}, /*stream=*/true, 0);
  model.begin_call(2, {{100, 1, {}}}, /*stream=*/false, 0);
  model.advance(0.050);
  model.cancel_call(1);
  for (const Delivery& delivery : run_until_idle(model)) EXPECT_EQ(delivery.call, 2u);
  EXPECT_EQ(model.engine().running(), 0u);
  EXPECT_EQ(model.open_calls(), 0u);
}

TEST(ServerModel, ACallCancelledBeforeItReachesTheEngineNeverGetsThere) {
  ServerModel model = server();
  model.begin_call(1, {{100, 50, {}}}, /*stream=*/false, 0);
  model.cancel_call(1);
  EXPECT_EQ(model.next_event(), std::nullopt);
  EXPECT_EQ(model.engine().counters().steps, 0u);
}

TEST(ServerModel, RefusesWhatCannotFit) {
  const Hardware hardware(Gpu::kA100, 1);
  ServerModel model(hardware, {256, 2048, /*kv_blocks=*/4, true}, kNoCosts);
  EXPECT_FALSE(model.begin_call(1, {{10, 1, {}}, {65, 1, {}}}, false, 0));
  EXPECT_EQ(model.next_event(), std::nullopt);
}

TEST(ServerModel, ALateDriverGetsTheSameTimes) {
  ServerModel punctual = server();
  ServerModel late = server();
  for (ServerModel* model : {&punctual, &late}) model->begin_call(1, {{100, 20, {}}}, true, 0);
  const auto expected = run_until_idle(punctual);
  const auto got = late.advance(1000);
  ASSERT_EQ(got.size(), expected.size());
  EXPECT_DOUBLE_EQ(got.back().at, expected.back().at);
}

// A closed loop of `workers`, each with one call in flight: 1024 prompt tokens, of which the first
// 16 are shared, 128 output tokens. The figures are those of the project's policy simulator for the
// workload "fix", pass-through to one server (300 us network round trip, 100 us per proxy hop).
struct ClosedLoop {
  Gpu gpu;
  int tensor_parallel_size;
  int workers;
  int calls;
  double makespan;
  std::uint64_t preemptions;
};

class Reference : public testing::TestWithParam<ClosedLoop> {};

TEST_P(Reference, ClosedLoopTakesAsLongAsInThePolicySimulator) {
  constexpr double kHop = 1e-4;
  constexpr double kOneWay = 1.5e-4;
  const ClosedLoop& loop = GetParam();
  const Hardware hardware(loop.gpu, loop.tensor_parallel_size);
  ServerModel model(hardware, default_limits(hardware), FrontEndCosts{});

  std::priority_queue<double, std::vector<double>, std::greater<>> arrivals;
  for (int worker = 0; worker < loop.workers; ++worker) {
    arrivals.push(worker * 1e-4 + kHop + kOneWay);
  }
  int begun = 0;
  double end = 0;
  while (begun < loop.calls || model.open_calls() > 0) {
    const auto event = model.next_event();
    if (begun < loop.calls && !arrivals.empty() && (!event || arrivals.top() < *event)) {
      model.begin_call(static_cast<CallId>(begun++), {{1024, 128, {mix(1, 1)}}}, false,
                       arrivals.top());
      arrivals.pop();
      continue;
    }
    for (const Delivery& delivery : model.advance(*event)) {
      end = delivery.at + kOneWay + kHop;
      arrivals.push(end + kHop + kOneWay);
    }
  }
  EXPECT_NEAR(end, loop.makespan, loop.makespan * 0.01);
  EXPECT_NEAR(static_cast<double>(model.engine().counters().preemptions),
              static_cast<double>(loop.preemptions), 2);
}

INSTANTIATE_TEST_SUITE_P(Loads, Reference,
                         testing::Values(ClosedLoop{Gpu::kA100, 2, 8, 64, 12.4302, 0},
                                         ClosedLoop{Gpu::kA100, 1, 200, 400, 57.0195, 28},
                                         ClosedLoop{Gpu::kH100, 4, 64, 512, 15.0062, 0}));

}  // namespace
}  // namespace batchproxy::sim
