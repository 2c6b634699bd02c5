// tests/configs/engine_wish_test.cc - which engines are wished for, and what they take.
#include "configs/engine_wish.h"

#include <gtest/gtest.h>

#include "tests/configs/load_text.h"

namespace batchproxy {
namespace {

// An engine of `tensor` GPUs, `servers` times, started by `engine` on eight of them.
Options options_of(int tensor, Servers servers, const std::string& engine = "vllm") {
  Options options;
  options.worker.hf_model_id.value = "org/model";
  options.worker.vllm_args.value = {{"tensor_parallel_size", std::to_string(tensor)}};
  options.proxy.launcher.servers.value = std::move(servers);
  options.proxy.launcher.engine.value = engine;
  return options;
}

std::string left_over(const Options& options) {
  return gpus_left_over(wished_engines(options, 8), options, 8);
}

TEST(GpusLeftOver, AreTold) {
  EXPECT_EQ(left_over(options_of(3, AutoServers{})),
            "2 of 8 GPUs left over: no engine gets them (2 engines x tensor_parallel_size 3)");
  EXPECT_EQ(left_over(options_of(2, std::int64_t{1})),
            "6 of 8 GPUs left over: no engine gets them (1 engine x tensor_parallel_size 2)");
  EXPECT_EQ(left_over(options_of(2, AutoServers{})), "");
}

TEST(GpusLeftOver, AreNotTakenForAWasteWhereTheyAreSimulatedAndMeant) {
  EXPECT_EQ(left_over(options_of(2, std::int64_t{1}, "sim")), "");
  EXPECT_NE(left_over(options_of(3, AutoServers{}, "sim")), "");
}

std::string check(const std::string& engine, const std::string& arguments, int gpus) {
  return printed(load_text("model:\n  generator_settings:\n    boot_local: true\n    hf_model_id: "
                           "m\n    vllm_args: {" +
                           arguments + "}\nbatchproxy:\n  launcher: {engine: " + engine +
                           ", servers: 2, gpus: " + std::to_string(gpus) +
                           ", command: [serve, '{port}']}\n")
                     .diagnostics);
}

TEST(Check, CountsGpusAsTheStartDoes) {
  EXPECT_EQ(check("command", "", 1), "");  // pinned to none
  EXPECT_NE(check("command", "tensor_parallel_size: 2", 3).find("needs 4 GPUs"), std::string::npos);
  EXPECT_NE(check("vllm", "data_parallel_size: 8", 8).find("needs 16 GPUs"), std::string::npos);
  EXPECT_NE(check("sim", "tensor_parallel_size: 8", 8).find("found 8 (simulated)"),
            std::string::npos);
  EXPECT_EQ(check("sim", "tensor_parallel_size: 8", 0).find("needs"), std::string::npos)
      << "as many as are needed";
}

GpuChoice asked(const std::string& launcher, std::vector<Flag> flags = {}) {
  return asked_gpus(
      load_text("batchproxy: {launcher: {" + launcher + "}}", std::move(flags)).options);
}

TEST(AskedGpus, AreANumberAListOrOne) {
  using List = std::vector<std::string>;
  EXPECT_EQ(asked(""), GpuChoice(std::int64_t{0}));
  EXPECT_EQ(asked("gpus: 4"), GpuChoice(std::int64_t{4}));
  EXPECT_EQ(asked("gpus: [4, 5]"), GpuChoice(List{"4", "5"}));
  EXPECT_EQ(asked("gpus: '4, 5'"), GpuChoice(List{"4", "5"}));
  EXPECT_EQ(asked("gpus: GPU-1a2b"), GpuChoice(List{"GPU-1a2b"}));
  EXPECT_EQ(asked("gpu: 7"), GpuChoice(List{"7"}));
  EXPECT_EQ(asked("gpus: 4", {{"--gpu", "7"}}), GpuChoice(List{"7"}));
  EXPECT_EQ(asked("gpu: 7", {{"--gpus", "4"}}), GpuChoice(std::int64_t{4}));
}

TEST(AskedGpus, MayBeRanges) {
  using List = std::vector<std::string>;
  EXPECT_EQ(asked("gpus: 0-3"), GpuChoice(List{"0", "1", "2", "3"}));
  EXPECT_EQ(asked("gpus: '0-2, 6'"), GpuChoice(List{"0", "1", "2", "6"}));
  EXPECT_EQ(asked("gpus: [0-1, 6-6, GPU-1a2b-3]"), GpuChoice(List{"0", "1", "6", "GPU-1a2b-3"}));
  EXPECT_EQ(asked("", {{"--gpus", "4-5"}}), GpuChoice(List{"4", "5"}));
}

TEST(AskedGpus, AreRefusedInARangeThatIsNone) {
  for (const char* text : {"7-0", "0-", "0-x", "0-99999", "'0-1,3-2'", "[0-1, 3-2]"}) {
    const std::string said =
        printed(load_text("batchproxy: {launcher: {gpus: " + std::string(text) + "}}").diagnostics);
    EXPECT_NE(said.find("is no range of GPUs; write the first and the last, as in 0-3"),
              std::string::npos)
        << text << ": " << said;
  }
}

TEST(ToldGpus, OfASimulationAreEightOrAsManyAsItsEnginesNeed) {
  EXPECT_EQ(told_gpus(options_of(2, std::int64_t{2}, "sim")), 8u);
  EXPECT_EQ(told_gpus(options_of(1, std::int64_t{64}, "sim")), 64u);
  EXPECT_EQ(told_gpus(options_of(2, std::int64_t{16}, "sim")), 32u);
  EXPECT_EQ(told_gpus(options_of(1, AutoServers{}, "sim")), 8u);
  EXPECT_FALSE(told_gpus(options_of(1, std::int64_t{64}, "vllm")));
}

TEST(AskedGpus, AreCountedByCheck) {
  const std::string text =
      printed(load_text("model: {generator_settings: {boot_local: true, hf_model_id: m, vllm_args: "
                        "{tensor_parallel_size: 4}}}\nbatchproxy: {launcher: {gpus: [4, 5]}}\n")
                  .diagnostics);
  EXPECT_NE(text.find("needs 4 GPUs (1 engine x tensor_parallel_size 4), found 2"),
            std::string::npos)
      << text;
}

TEST(Model, OfAFlagStartsAnEngineUnlessOneRuns) {
  const auto source = [](const std::string& text) {
    return backend_source(load_text(text, {{"--model", "m"}}).options);
  };
  EXPECT_EQ(backend_source(load_without_file({{"--model", "m"}}).options),
            BackendSource::kLauncher);
  EXPECT_EQ(source("batchproxy: {log_level: debug}"), BackendSource::kLauncher);
  EXPECT_EQ(source("model: {server: gpu1, port: 8000}"), BackendSource::kServerAndPort);
  EXPECT_EQ(source("batchproxy: {backends: [http://gpu1:8000]}"), BackendSource::kList);
  EXPECT_EQ(printed(load_text("model: {server: gpu1, port: 8001}", {{"--model", "m"}}).diagnostics),
            "--model: warning: not used: the engine runs already (boot_local, server and port say "
            "so)\n");
}

}  // namespace
}  // namespace batchproxy
