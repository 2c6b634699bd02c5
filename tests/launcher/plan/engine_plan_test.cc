// tests/launcher/plan/engine_plan_test.cc - how options and GPUs become engines.
#include "launcher/plan/engine_plan.h"

#include <cstdlib>
#include <numeric>

#include <gtest/gtest.h>

#include "configs/engine_wish.h"

namespace batchproxy {
namespace {

using Words = std::vector<std::string>;

Options options_with(Arguments arguments, Servers servers = std::int64_t{1}) {
  Options options;
  options.worker.hf_model_id.value = "org/model";
  options.worker.model.value = "short";
  options.worker.vllm_args.value = std::move(arguments);
  options.proxy.launcher.servers.value = std::move(servers);
  return options;
}

Argument tensor_parallel(int size) {
  return {"tensor_parallel_size", std::to_string(size)};
}

PlanContext context_with(int gpu_count) {
  PlanContext context;
  context.gpus.resize(static_cast<std::size_t>(gpu_count));
  std::iota(context.gpus.begin(), context.gpus.end(), 0);
  context.self_executable = "/bin/batchproxy";
  context.run_id = "run";
  context.next_port = [next = 8100]() mutable -> OrError<int> { return next++; };
  return context;
}

std::vector<Gpus> gpus_of(const EnginePlans& plans) {
  std::vector<Gpus> gpus;
  for (const EnginePlan& plan : *plans) gpus.push_back(plan.gpus);
  return gpus;
}

// The only problem of a plan that must have one.
std::string problem(const Options& options, const PlanContext& context) {
  const auto plans = plan_engines(options, context);
  if (plans) return "(planned)";
  return plans.error().size() == 1 ? plans.error().front() : "(several)";
}

TEST(PlanEngines, GivesEachEngineItsOwnConsecutiveGpusPortNameAndLog) {
  const auto plans =
      plan_engines(options_with({tensor_parallel(2)}, std::int64_t{4}), context_with(8));
  ASSERT_TRUE(plans);
  EXPECT_EQ(gpus_of(plans), (std::vector<Gpus>{{0, 1}, {2, 3}, {4, 5}, {6, 7}}));
  const EnginePlan& last = plans->back();
  EXPECT_EQ(last.index, 3);
  EXPECT_EQ(last.name, "engine-3");
  EXPECT_EQ(last.port, 8103);
  EXPECT_EQ(last.host, "127.0.0.1");
  EXPECT_EQ(last.log_file, "batchproxy_logs/engine-3.log");
  EXPECT_EQ(last.environment.set.at("CUDA_VISIBLE_DEVICES"), "6,7");
  EXPECT_EQ(last.environment.set.at("BATCHPROXY_ENGINE_ID"), "run-engine-3");
}

TEST(PlanEngines, BuildsTheCommandOfVllmServe) {
  const auto plans =
      plan_engines(options_with({tensor_parallel(2), {"seed", "42"}}), context_with(8));
  ASSERT_TRUE(plans);
  EXPECT_EQ(plans->front().argv, (Words{"vllm", "serve", "org/model", "--host", "127.0.0.1",
                                        "--port", "8100", "--served-model-name", "org/model",
                                        "short", "--tensor-parallel-size", "2", "--seed", "42"}));
}

TEST(PlanEngines, ServesOneNameWhenBothAreTheSameOrOneIsEmpty) {
  Options options = options_with({});
  options.worker.model.value = "org/model";
  EXPECT_EQ(plan_engines(options, context_with(1))->front().served_names, Words{"org/model"});
  options.worker.model.value = "";
  EXPECT_EQ(plan_engines(options, context_with(1))->front().served_names, Words{"org/model"});
}

TEST(PlanEngines, LoadsAModelOfTheHomeDirectoryAndServesItAsWorkersNameIt) {
  ::setenv("HOME", "/home/me", 1);
  Options options = options_with({});
  options.worker.hf_model_id.value = "~/models/llama";
  const auto plans = plan_engines(options, context_with(1));
  ASSERT_TRUE(plans);
  EXPECT_EQ(plans->front().model, "/home/me/models/llama");
  EXPECT_EQ(plans->front().served_names, (Words{"~/models/llama", "short"}));
}

TEST(PlanEngines, MultipliesAllParallelSizes) {
  const auto plans = plan_engines(
      options_with({tensor_parallel(2), {"pipeline-parallel-size", "2"}}, AutoServers{}),
      context_with(8));
  EXPECT_EQ(gpus_of(plans), (std::vector<Gpus>{{0, 1, 2, 3}, {4, 5, 6, 7}}));
}

TEST(PlanEngines, CountsEveryCopyThatDataParallelMakes) {
  const Options options = options_with({tensor_parallel(2), {"data_parallel_size", "8"}});
  EXPECT_EQ(problem(options, context_with(8)),
            "needs 16 GPUs (1 engine x tensor_parallel_size 2 x data_parallel_size 8), found 8: "
            "lower tensor_parallel_size");
}

TEST(PlanEngines, UsesThePoolAsGiven) {
  PlanContext context = context_with(0);
  context.gpus = {7, 5, 2, 3};
  EXPECT_EQ(gpus_of(plan_engines(options_with({tensor_parallel(2)}, AutoServers{}), context)),
            (std::vector<Gpus>{{7, 5}, {2, 3}}));
}

TEST(PlanEngines, AutomaticLeavesOverWhatDoesNotFillAGroup) {
  EXPECT_EQ(
      plan_engines(options_with({tensor_parallel(2)}, AutoServers{}), context_with(7))->size(), 3u);
}

TEST(PlanEngines, AListOfServersOverridesAndExtendsTheWorkersArguments) {
  ServerOptions small;
  small.count.value = 2;
  small.vllm_args.value = {{"tensor-parallel-size", "1"}, {"max_num_seqs", "32"}};
  ServerOptions other;
  other.hf_model_id.value = "org/other";
  const auto plans = plan_engines(
      options_with({tensor_parallel(4), {"max_num_seqs", "64"}}, std::vector{small, other}),
      context_with(8));
  ASSERT_TRUE(plans);
  EXPECT_EQ(gpus_of(plans), (std::vector<Gpus>{{0}, {1}, {2, 3, 4, 5}}));
  EXPECT_EQ(plans->at(1).max_num_seqs, 32);
  EXPECT_EQ(plans->at(1).served_names, (Words{"org/model", "short"}));
  EXPECT_EQ(plans->at(2).max_num_seqs, 64);
  EXPECT_EQ(plans->at(2).served_names, Words{"org/other"});
}

TEST(PlanEngines, SaysWhatToLowerWhenThereAreTooFewGpus) {
  EXPECT_EQ(problem(options_with({tensor_parallel(2)}, std::int64_t{4}), context_with(4)),
            "needs 8 GPUs (4 engines x tensor_parallel_size 2), found 4: lower "
            "batchproxy.launcher.servers or tensor_parallel_size");
  EXPECT_EQ(problem(options_with({tensor_parallel(8)}), context_with(4)),
            "needs 8 GPUs (1 engine x tensor_parallel_size 8), found 4: lower "
            "tensor_parallel_size");
  EXPECT_EQ(problem(options_with({tensor_parallel(2)}, AutoServers{}), context_with(1)),
            "needs 2 GPUs (1 engine x tensor_parallel_size 2), found 1: lower "
            "tensor_parallel_size");
  EXPECT_EQ(problem(options_with({}), context_with(0)),
            "needs 1 GPU (1 engine x tensor_parallel_size 1), found none: check `nvidia-smi` and "
            "CUDA_VISIBLE_DEVICES, or try --engine sim");
}

TEST(PlanEngines, DescribesDifferentEnginesOneAfterTheOther) {
  ServerOptions pair;
  pair.count.value = 2;
  ServerOptions quad;
  quad.vllm_args.value = {tensor_parallel(4)};
  EXPECT_EQ(problem(options_with({tensor_parallel(2)}, std::vector{pair, quad}), context_with(4)),
            "needs 8 GPUs (2 engines x tensor_parallel_size 2 + 1 engine x tensor_parallel_size "
            "4), found 4: lower batchproxy.launcher.servers or tensor_parallel_size");
}

TEST(PlanEngines, ReportsAMissingModelAndMissingGpusTogether) {
  Options options = options_with({tensor_parallel(2)});
  options.worker.hf_model_id.value = options.worker.model.value = "";
  const auto plans = plan_engines(options, context_with(1));
  ASSERT_FALSE(plans);
  EXPECT_EQ(plans.error().size(), 2u);
  EXPECT_NE(plans.error().front().find("set hf_model_id"), std::string::npos);
}

TEST(PlanEngines, RefusesAnEmptyListOfServers) {
  EXPECT_EQ(problem(options_with({}, std::vector<ServerOptions>{}), context_with(1)),
            "batchproxy.launcher.servers is an empty list: nothing to start");
}

TEST(PlanEngines, PassesOnThatPortsRanOut) {
  PlanContext context = context_with(1);
  context.next_port = []() -> OrError<int> { return LaunchError{"no free port"}; };
  EXPECT_EQ(problem(options_with({}), context), "no free port");
}

TEST(PlanSimulatedEngines, GetTheGpusThatAreNamed) {
  Options options = options_with({}, std::int64_t{2});
  options.proxy.launcher.engine.value = "sim";
  options.proxy.launcher.gpus.value = Words{"5", "4"};
  EXPECT_EQ(gpus_of(plan_engines(options, context_with(0))), (std::vector<Gpus>{{5}, {4}}));
}

TEST(PlanSimulatedEngines, AssumeEightGpusWhateverTheMachineHas) {
  Options options = options_with({tensor_parallel(2)}, AutoServers{});
  options.proxy.launcher.engine.value = "sim";
  EXPECT_EQ(plan_engines(options, context_with(1))->size(), 4u);
  options.proxy.launcher.gpus.value = 2;
  EXPECT_EQ(plan_engines(options, context_with(1))->size(), 1u);
}

TEST(PlanSimulatedEngines, RunBatchproxyItselfWithTheSameFlags) {
  Options options = options_with({{"enforce_eager", true}});
  options.proxy.launcher.engine.value = "sim";
  options.proxy.launcher.sim_time_scale.value = 0.1;
  EXPECT_EQ(plan_engines(options, context_with(0))->front().argv,
            (Words{"/bin/batchproxy", "sim-engine", "org/model", "--host", "127.0.0.1", "--port",
                   "8100", "--served-model-name", "org/model", "short", "--enforce-eager",
                   "--sim-hardware", "a100", "--sim-time-scale", "0.1"}));
}

TEST(PlanSimulatedEngines, TooFewAreRaisedByOption) {
  Options options = options_with({tensor_parallel(8)}, std::int64_t{2});
  options.proxy.launcher.engine.value = "sim";
  options.proxy.launcher.gpus.value = std::int64_t{8};
  EXPECT_EQ(problem(options, context_with(0)),
            "needs 16 GPUs (2 engines x tensor_parallel_size 8), found 8 (simulated): raise "
            "batchproxy.launcher.gpus or lower tensor_parallel_size");
}

TEST(PlanSimulatedEngines, HaveAsManyAsTheyNeedWhereNothingIsSaid) {
  Options options = options_with({tensor_parallel(8)}, std::int64_t{2});
  options.proxy.launcher.engine.value = "sim";
  EXPECT_EQ(problem(options, context_with(0)), "(planned)");
}

Options command_options(Words command, Arguments arguments = {}) {
  Options options = options_with(std::move(arguments), std::int64_t{2});
  options.proxy.launcher.engine.value = "command";
  options.proxy.launcher.command.value = std::move(command);
  return options;
}

TEST(PlanCommandEngines, NeedNoGpusUnlessTheySaySo) {
  EXPECT_FALSE(needs_gpus(command_options({"serve", "{port}"})));
  EXPECT_TRUE(needs_gpus(command_options({"serve", "--gpus={gpus}"})));
  EXPECT_TRUE(needs_gpus(command_options({"serve"}, {tensor_parallel(1)})));
  const auto plans = plan_engines(command_options({"serve", "{port}"}), context_with(0));
  ASSERT_TRUE(plans);
  EXPECT_EQ(plans->at(1).argv, (Words{"serve", "8101"}));
  EXPECT_FALSE(plans->at(1).environment.set.contains("CUDA_VISIBLE_DEVICES"));
}

TEST(PlanCommandEngines, ArePinnedWhenTheyUseGpus) {
  const auto plans = plan_engines(command_options({"serve", "{gpus}"}), context_with(2));
  ASSERT_TRUE(plans);
  EXPECT_EQ(plans->at(1).argv, (Words{"serve", "1"}));
  EXPECT_EQ(plans->at(1).environment.set.at("CUDA_VISIBLE_DEVICES"), "1");
}

TEST(PlanCommandEngines, MayBePinnedByUuidAndVllmMayNot) {
  PlanContext context = context_with(0);
  context.gpus = {Gpu::by_uuid("MIG-1"), Gpu::by_uuid("GPU-2")};
  const auto plans = plan_engines(command_options({"serve", "{gpus}"}), context);
  ASSERT_TRUE(plans);
  EXPECT_EQ(plans->at(1).argv, (Words{"serve", "GPU-2"}));
  EXPECT_EQ(plans->at(0).environment.set.at("CUDA_VISIBLE_DEVICES"), "MIG-1");
  EXPECT_EQ(problem(options_with({}), context),
            "CUDA_VISIBLE_DEVICES has 'MIG-1': many versions of vLLM read integers only, not "
            "UUIDs; write the indices (`nvidia-smi -L` shows both), or start vLLM by `engine: "
            "command`");
}

TEST(PlanCommandEngines, NeedAModelOnlyIfTheyNameIt) {
  Options options = command_options({"serve"});
  options.worker.hf_model_id.value = options.worker.model.value = "";
  EXPECT_TRUE(plan_engines(options, context_with(0)));
  options.proxy.launcher.command.value = {"serve", "{model}"};
  EXPECT_FALSE(plan_engines(options, context_with(0)));
}

TEST(PlanCommandEngines, NeedACommand) {
  EXPECT_NE(problem(command_options({}), context_with(0)).find("launcher.command is empty"),
            std::string::npos);
}

TEST(SpareGpus, AreThoseThatNoEngineHas) {
  const Options options = options_with({tensor_parallel(3)}, std::int64_t{2});
  const PlanContext context = context_with(8);
  const auto plans = plan_engines(options, context);
  ASSERT_TRUE(plans);
  EXPECT_EQ(spare_gpus(options, context, *plans), (Gpus{6, 7}));
}

TEST(SpareGpus, OfSimulatedEnginesAreNoneUnlessTheyAreNamed) {
  Options options = options_with({});
  options.proxy.launcher.engine.value = "sim";
  const PlanContext context = context_with(0);
  EXPECT_EQ(spare_gpus(options, context, *plan_engines(options, context)), Gpus{});
  options.proxy.launcher.gpus.value = std::int64_t{3};
  EXPECT_EQ(spare_gpus(options, context, *plan_engines(options, context)), (Gpus{1, 2}));
}

Options far_options(Arguments arguments, Servers servers) {
  Options options = options_with(std::move(arguments), std::move(servers));
  options.proxy.launcher.placement.value = "slurm";
  return options;
}

TEST(PlanFarEngines, LeavesAddressAndGpusToTheirNodes) {
  PlanContext context = context_with(0);
  context.next_port = []() -> OrError<int> { return LaunchError{"a port of this machine"}; };
  const auto plans = plan_engines(far_options({tensor_parallel(2)}, std::int64_t{20}), context);
  ASSERT_TRUE(plans) << "40 GPUs are no more than others may have";
  const EnginePlan& last = plans->back();
  EXPECT_TRUE(last.is_far);
  EXPECT_EQ(last.far_gpus, 2u);
  EXPECT_TRUE(last.gpus.empty());
  EXPECT_FALSE(last.environment.set.contains("CUDA_VISIBLE_DEVICES"));
  EXPECT_EQ(last.argv,
            (Words{"vllm", "serve", "org/model", "--host", "{host}", "--port", "{port}",
                   "--served-model-name", "org/model", "short", "--tensor-parallel-size", "2"}));
}

TEST(PlanFarEngines, AreCountedWhereItIsToldHowManyGpusThereAre) {
  Options options = far_options({tensor_parallel(2)}, AutoServers{});
  options.proxy.launcher.gpus.value = std::int64_t{16};
  EXPECT_EQ(plan_engines(options, context_with(0))->size(), 8u);
  options.proxy.launcher.servers.value = std::int64_t{9};
  EXPECT_EQ(problem(options, context_with(0)),
            "needs 18 GPUs (9 engines x tensor_parallel_size 2), found 16: lower "
            "batchproxy.launcher.servers or tensor_parallel_size");
}

TEST(PlanFarEngines, OfACommandLeaveItsPlaceOpen) {
  Options options = far_options({}, std::int64_t{2});
  options.proxy.launcher.engine.value = "command";
  options.proxy.launcher.command.value = {"serve", "{model}", "{host}:{port}", "--on={gpus}",
                                          "{index}"};
  const auto plans = plan_engines(options, context_with(0));
  ASSERT_TRUE(plans);
  EXPECT_EQ(plans->back().argv, (Words{"serve", "org/model", "{host}:{port}", "--on={gpus}", "1"}));
}

TEST(PlanFarEngines, RunOurOwnProgramWhereItIsOnTheNodes) {
  Options options = far_options({}, std::int64_t{1});
  options.proxy.launcher.engine.value = "sim";
  EXPECT_EQ(plan_engines(options, context_with(0))->front().argv.front(), "/bin/batchproxy");
  options.proxy.launcher.agent_program.value = "/opt/batchproxy";
  EXPECT_EQ(plan_engines(options, context_with(0))->front().argv.front(), "/opt/batchproxy");
}

}  // namespace
}  // namespace batchproxy
