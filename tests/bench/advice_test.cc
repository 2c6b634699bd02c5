// tests/bench/advice_test.cc - which topologies are tried, with which configuration, and which is
// advised.
#include "bench/advice/advice.h"

#include <set>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/advice/sample.h"
#include "bench/advice/trial_config.h"
#include "bench/page/advice_page.h"
#include "bench/trial/live_trial.h"
#include "bench/trial/programs.h"
#include "bench/trial/trial_proxy.h"
#include "bench/trial/user_config.h"
#include "configs/loader.h"

namespace batchproxy::bench {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// --- what is tried ------------------------------------------------------------------------------

TEST(Topologies, GoFromOneEngineToOneForEachGpu) {
  EXPECT_THAT(topologies_of(8),
              ElementsAre(Topology{1, 8}, Topology{2, 4}, Topology{4, 2}, Topology{8, 1}));
  EXPECT_THAT(topologies_of(1), ElementsAre(Topology{1, 1}));
  EXPECT_THAT(topologies_of(6), ElementsAre(Topology{1, 4}, Topology{3, 2}, Topology{6, 1}));
  EXPECT_THAT(topologies_of(8, 2), ElementsAre(Topology{1, 4}, Topology{2, 2}, Topology{4, 1}));
  EXPECT_TRUE(topologies_of(0).empty());
  EXPECT_EQ(words_of({4, 2}), "4 x TP2");
  EXPECT_EQ(folder_of({4, 2}), "4xTP2");
}

TEST(SampleOf, TakesRunsOfNeighboursFromAllOfTheFile) {
  const auto sample = sample_of(1000, 96);
  ASSERT_EQ(sample.size(), 96u);
  EXPECT_EQ(sample[0], 0u);
  EXPECT_EQ(sample[31], 31u);
  EXPECT_EQ(sample[32], 333u);
  EXPECT_EQ(sample[64], 666u);
}

TEST(SampleOf, NamesEachOnceAndNoneThatIsNotThere) {
  for (const std::size_t all : {1U, 31U, 33U, 64U, 95U, 500U}) {
    for (const std::size_t wanted : {1U, 32U, 33U, 64U, 90U, 1000U}) {
      const auto sample = sample_of(all, wanted);
      EXPECT_EQ(sample.size(), std::min(all, wanted)) << all << " " << wanted;
      EXPECT_EQ(std::set<std::size_t>(sample.begin(), sample.end()).size(), sample.size());
      EXPECT_LT(sample.back(), all);
    }
  }
}

// --- with which configuration -------------------------------------------------------------------

constexpr const char* kUsers = R"(
model:
  generator_settings:
    boot_local: false
    hf_model_id: "a/model"   # ours
    vllm_args: {tensor-parallel-size: 8, max_model_len: 2048}
    batch_size: 16
processing:
  parallel_workers: 8
batchproxy:
  access_log: {file: requests.log}
  launcher: {servers: 1, keep: true}
)";

Yaml users_file(const std::string& text = kUsers) {
  Findings findings;
  return parse_yaml(text, "my.yaml", findings).value();
}

Options understood(const std::string& text) {
  LoadInputs inputs;
  inputs.file = "made.yaml";
  inputs.text = text;
  const LoadResult loaded = load(inputs);
  EXPECT_TRUE(loaded.ok()) << text;
  for (const Diagnostic& each : loaded.diagnostics) ADD_FAILURE() << each.format() << text;
  return loaded.options;
}

std::int64_t engines_of(const Options& options) {
  return std::get<std::int64_t>(*options.proxy.launcher.servers);
}

TEST(TrialConfig, HasTheTopologyAndLeavesNothingBehind) {
  TrialScene scene;
  scene.folder = "logs/4xTP2";
  const Options options = understood(trial_config(users_file(), {4, 2}, scene));
  EXPECT_EQ(engines_of(options), 4);
  EXPECT_EQ(*options.worker.vllm_args,
            (Arguments{{"tensor_parallel_size", "2"}, {"max_model_len", "2048"}}));
  EXPECT_TRUE(*options.worker.boot_local);
  EXPECT_EQ(*options.worker.hf_model_id, "a/model");
  EXPECT_EQ(*options.proxy.launcher.engine, "vllm");
  EXPECT_FALSE(*options.proxy.launcher.keep);
  EXPECT_EQ(*options.proxy.launcher.log_directory, "logs/4xTP2");
  EXPECT_EQ(*options.proxy.access_log.file, "");
}

TEST(TrialConfig, OfSimulatedEnginesSaysSo) {
  TrialScene scene;
  scene.folder = "logs";
  scene.simulated = true;
  scene.gpus = 16;
  scene.hardware = "h100";
  scene.time_scale = 0.5;
  const Options options = understood(trial_config(users_file(), {8, 2}, scene));
  EXPECT_EQ(*options.proxy.launcher.engine, "sim");
  EXPECT_EQ(*options.proxy.launcher.gpus, GpuChoice(std::int64_t{16}));
  EXPECT_EQ(*options.proxy.launcher.sim_hardware, "h100");
  EXPECT_EQ(*options.proxy.launcher.sim_time_scale, 0.5);
}

TEST(AdvisedConfig, IsTheUsersFileWithTwoThingsChanged) {
  const std::string text = advised_config(users_file(), {8, 1}, 128, {"because: it is fast"});
  EXPECT_THAT(text, AllOf(StartsWith(kAdvisedMark), HasSubstr("# because: it is fast\n")));
  const Options options = understood(text);
  EXPECT_EQ(engines_of(options), 8);
  EXPECT_EQ(*options.worker.vllm_args,
            (Arguments{{"tensor_parallel_size", "1"}, {"max_model_len", "2048"}}));
  EXPECT_EQ(*options.worker.parallel_workers, 128);
  EXPECT_TRUE(*options.proxy.launcher.keep);
  EXPECT_EQ(*options.proxy.access_log.file, "requests.log");
  EXPECT_EQ(*options.worker.batch_size, 16);
}

TEST(AdvisedConfig, MayBeOfAModelAlone) {
  const Options options = understood(advised_config(config_for_model("./my model"), {2, 4}, 8, {}));
  EXPECT_EQ(*options.worker.hf_model_id, "./my model");
  EXPECT_EQ(engines_of(options), 2);
  EXPECT_EQ(*options.worker.parallel_workers, 8);
}

TEST(TrialConfig, NamesTheLineThatItCannotChange) {
  try {
    trial_config(users_file("vllm_args: [--max-num-seqs, 8]\nmodel: {generator_settings: "
                            "{hf_model_id: m, vllm_args: [--max-num-seqs, 8]}}\n"),
                 {1, 8}, {});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("my.yaml:2:"), HasSubstr("vllm_args is no mapping")));
  }
}

// --- on which GPUs ------------------------------------------------------------------------------

TEST(ReadUserConfig, SaysWhatIsWrongWithThePlace) {
  EXPECT_THAT(
      read_user_config("model: {generator_settings: {hf_model_id: m, batch_size: x}}", "my.yaml")
          .problems,
      ElementsAre(StartsWith("my.yaml:1:")));
  EXPECT_THAT(read_user_config("batchproxy: {launcher: {engine: sim}}", "my.yaml").problems,
              ElementsAre(HasSubstr("my.yaml names no model")));
  EXPECT_THAT(read_user_config("model: {generator_settings: {hf_model_id: m, boot_local: true}}\n"
                               "batchproxy: {launcher: {profile: cpu}}",
                               "my.yaml")
                  .problems,
              ElementsAre(HasSubstr("topologies are about GPUs")));
  EXPECT_TRUE(read_user_config(kUsers, "my.yaml").problems.empty());
}

TEST(FindBox, GoesByTheFlagsBeforeTheFile) {
  const Options options = understood(
      "model: {generator_settings: {hf_model_id: m, boot_local: true}}\n"
      "batchproxy: {launcher: {engine: sim, sim_hardware: h100, sim_time_scale: 0.5}}");
  const Box told = find_box({}, options, "");
  EXPECT_TRUE(told.simulated);
  EXPECT_EQ(told.gpus, 8u);
  EXPECT_EQ(told.card(), "H100");
  EXPECT_EQ(told.time_scale, 0.5);
  const Box wished = find_box({4, "a100", 2}, options, "");
  EXPECT_EQ(wished.gpus, 4u);
  EXPECT_EQ(wished.card(), "A100");
  EXPECT_EQ(wished.time_scale, 2);
}

TEST(WantedTopologies, AreThoseWithTheseNames) {
  const Options options = understood(
      "model: {generator_settings: {hf_model_id: m, boot_local: true, vllm_args: "
      "{tensor_parallel_size: 8, pipeline_parallel_size: 2}}}");
  Box box;
  box.simulated = true;
  EXPECT_THAT(wanted_topologies({"4xTP1", "1xTP4"}, box, options),
              ElementsAre(Topology{1, 4}, Topology{4, 1}));
  EXPECT_THROW(wanted_topologies({"8xTP1"}, box, options), std::runtime_error);
}

TEST(WorldOf, HasTheLimitsOfTheFile) {
  const Options options = understood(
      "model: {generator_settings: {hf_model_id: m, boot_local: true, vllm_args: "
      "{max_num_seqs: 64, max_num_batched_tokens: 4096, gpu_memory_utilization: 0.5}}}");
  const WorldOptions world = world_of({4, 2}, {}, options);
  EXPECT_EQ(world.servers, 4u);
  EXPECT_EQ(world.tensor_parallel, 2);
  EXPECT_EQ(world.max_num_seqs, 64);
  EXPECT_EQ(world.max_num_batched_tokens, 4096);
  EXPECT_EQ(world.gpu_memory_utilization, 0.5);
}

// --- what the programs say ----------------------------------------------------------------------

TEST(CountGpus, CountsThoseThatAreOurs) {
  EXPECT_EQ(count_gpus(R"({"gpus": [{"index": 0, "ours": true}, {"index": 1, "ours": false},
                                    {"index": 2, "problem": "lost"}, {"index": 3, "ours": true}]})"),
            2u);
  EXPECT_EQ(count_gpus("error"), 0u);
}

TEST(ReadPlan, SaysWhyItDoesNotFit) {
  EXPECT_TRUE(read_plan(R"({"planned": true, "fits": true, "problems": []})").fits);
  EXPECT_TRUE(read_plan(R"({"planned": false, "reason": "no such family"})").fits);
  EXPECT_TRUE(read_plan("").fits);
  const MemoryAnswer answer =
      read_plan(R"({"planned": true, "fits": false, "problems": ["too large", "and more"]})");
  EXPECT_FALSE(answer.fits);
  EXPECT_EQ(answer.reason, "too large");
}

TEST(ReadStart, CountsEnginesAndNamesTheOneThatFailed) {
  const StartState state = read_start(R"({"backends": [
      {"name": "engine-0", "state": "ready"},
      {"name": "engine-1", "state": "loading", "doing": "loading weights"},
      {"name": "engine-2", "state": "failed", "problem": "no memory", "repairs": ["len -> 8"]}]})");
  EXPECT_EQ(state.ready, 1u);
  EXPECT_EQ(state.problem, "engine-2: no memory");
  EXPECT_EQ(state.doing, "engine-1: loading weights");
  EXPECT_THAT(state.repairs, ElementsAre("engine-2: len -> 8"));
  EXPECT_EQ(read_start("nonsense").ready, 0u);
}

TEST(ReasonIn, IsTheErrorThatTheLogEndsWith) {
  EXPECT_EQ(
      reason_in("the proxy has ended with exit code 2; logs/x says:\nwarning: a\nerror: needs "
                "8 GPUs, found 2\nmore\n"),
      "needs 8 GPUs, found 2");
  EXPECT_EQ(reason_in("the proxy has ended with exit code 1; logs/x says:\n"
                      "t error   | no repair: it was set by you\nt error engine-1 stays down\n"
                      "t error engine-0 did not start: exit code 1\nt error none has started\n"),
            "engine-0 did not start: exit code 1");
  EXPECT_EQ(reason_in("the proxy has ended with exit code 1; logs/x says:\n"
                      "t error   | cut off\nt error no engine has started; stopping\n"),
            "no engine has started; stopping");
  EXPECT_EQ(reason_in("the proxy has ended by signal 9; logs/x says:\nready\n"),
            "the proxy has ended by signal 9");
}

TEST(ContextIn, IsTheFirstModels) {
  EXPECT_EQ(context_in(R"({"data": [{"id": "m", "max_model_len": 4096}]})"), 4096);
  EXPECT_EQ(context_in(R"({"data": [{"id": "m"}]})"), std::nullopt);
  EXPECT_EQ(context_in("x"), std::nullopt);
}

TEST(BusyWindow, EndsWithTheLastQuestion) {
  Repeat repeat;
  repeat.seconds = 30;
  for (const double due : {0.0, 10.0, 5.0}) repeat.requests.emplace_back().due = due;
  EXPECT_EQ(busy_window(repeat).begin, 2);
  EXPECT_EQ(busy_window(repeat).end, 10);
}

// --- which is advised ---------------------------------------------------------------------------

Trial trial(std::size_t workers, double per_second, double p99, double failed = 0) {
  Trial made;
  made.workers = workers;
  made.per_second = per_second;
  made.p50 = p99 / 2;
  made.p99 = p99;
  made.failed = failed;
  return made;
}

AdviceLog log_of(const std::vector<Candidate>& candidates) {
  AdviceLog log;
  log.simulated = "A100";
  log.facts = {{"model", "m"}};
  log.candidates = candidates;
  return log;
}

Candidate candidate(const Topology& topology, const std::vector<Trial>& trials) {
  Candidate made;
  made.topology = topology;
  made.trials = trials;
  return made;
}

TEST(Advise, TakesTheMostQuestionsASecond) {
  const AdviceLog log = log_of({candidate({1, 8}, {trial(8, 60, 0.1), trial(128, 100, 1)}),
                                candidate({8, 1}, {trial(8, 50, 0.2), trial(128, 200, 2)})});
  const auto advice = advise(log);
  ASSERT_TRUE(advice);
  EXPECT_EQ(advice->candidate->topology, (Topology{8, 1}));
  EXPECT_EQ(advice->trial->workers, 128u);
  EXPECT_EQ(advice->reason,
            "8 x TP1 answers 200.0 questions a second, 100 % more than the next, 1 x TP8.");
}

TEST(Advise, TakesTheFewestWorkersThatComeClose) {
  const AdviceLog log =
      log_of({candidate({1, 8}, {trial(8, 50, 0.1), trial(32, 97, 0.3), trial(128, 100, 1)})});
  EXPECT_EQ(advise(log)->trial->workers, 32u);
}

TEST(Advise, GoesByTheSlowestAnswersWhereRatesAreAlike) {
  const AdviceLog log =
      log_of({candidate({1, 8}, {trial(32, 100, 2)}), candidate({4, 2}, {trial(32, 97, 1)}),
              candidate({8, 1}, {trial(32, 90, 0.5)})});
  const auto advice = advise(log);
  EXPECT_EQ(advice->candidate->topology, (Topology{4, 2}));
  EXPECT_THAT(advice->reason, HasSubstr("as many questions a second as 1 x TP8 (within 5 %)"));
}

TEST(Advise, NeverTakesOneThatFails) {
  AdviceLog log = log_of(
      {candidate({1, 8}, {trial(32, 10, 2)}), candidate({8, 1}, {trial(32, 500, 0.1, 0.02)})});
  EXPECT_EQ(advise(log)->candidate->topology, (Topology{1, 8}));
  log.candidates.erase(log.candidates.begin());
  EXPECT_FALSE(advise(log));
  EXPECT_THAT(to_text(log), HasSubstr("None can be advised"));
}

TEST(OrderWords, CompareWithVirtualTimeWhereThatTellsTopologiesApart) {
  AdviceLog log =
      log_of({candidate({1, 8}, {trial(32, 100, 1)}), candidate({4, 2}, {trial(32, 130, 1)}),
              candidate({8, 1}, {trial(32, 125, 1)})});
  EXPECT_EQ(order_words(log), "");
  log.candidates[0].trials[0].virtual_time = 100;
  log.candidates[1].trials[0].virtual_time = 140;
  log.candidates[2].trials[0].virtual_time = 145;  // too close to the other to say which is faster
  EXPECT_THAT(order_words(log), HasSubstr("the same order in all 2 pairs"));
  log.candidates[2].trials[0].virtual_time = 60;
  EXPECT_THAT(order_words(log), HasSubstr("another order in these: 1 x TP8 over 8 x TP1 with 32"));
}

TEST(AdviceText, NamesWhatIsSimulatedAndWhatIsSkipped) {
  Candidate skipped = candidate({2, 4}, {});
  skipped.skipped = "too large";
  Candidate tried = candidate({8, 1}, {trial(32, 80, 0.1)});
  tried.trials[0].bound = 100;
  tried.context = 32768;
  const AdviceLog log = log_of({skipped, tried});
  EXPECT_THAT(to_text(log), AllOf(StartsWith("Which topology: simulated A100 engines\n"),
                                  HasSubstr("2 x TP4     skipped: too large"), HasSubstr("80 %"),
                                  HasSubstr("32,768"), HasSubstr("* 8 x TP1"),
                                  HasSubstr("Advice: 8 x TP1 with 32 workers.")));
  const auto told = boost::json::parse(to_json(log));
  EXPECT_EQ(told.at("advice").at("workers"), 32);
  EXPECT_EQ(told.at("candidates").at(0).at("skipped"), "too large");
  EXPECT_EQ(told.at("simulated"), true);
}

TEST(AdviceText, OfRealEnginesSaysNothingOfSimulation) {
  AdviceLog log = log_of({candidate({8, 1}, {trial(32, 80, 0.1)})});
  log.simulated.clear();
  EXPECT_THAT(to_text(log), Not(HasSubstr("simulated")));
}

TEST(AdvicePage, HasPicturesAndTheAdvice) {
  const AdviceLog log = log_of({candidate({1, 8}, {trial(8, 60, 0.1), trial(32, 70, 0.5)}),
                                candidate({8, 1}, {trial(8, 50, 0.2)})});
  const std::string page = advice_page(log);
  EXPECT_THAT(page, AllOf(HasSubstr("Which topology: simulated A100 engines"), HasSubstr("<svg"),
                          HasSubstr("★ 1 x TP8"), Not(HasSubstr("nan"))));
  EXPECT_THAT(advice_page(log_of({})), HasSubstr("none is advised"));
}

}  // namespace
}  // namespace batchproxy::bench
