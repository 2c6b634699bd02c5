// tests/launcher/plan/command_line_test.cc - vLLM's rules for flags, and quoting for shells.
#include "launcher/plan/command_line.h"

#include <array>
#include <cstdio>
#include <memory>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using Words = std::vector<std::string>;

Words flags(const std::string& name, ArgumentValue value) {
  return flags_for({{name, std::move(value)}});
}

std::string shell_output(const std::string& command) {
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string output;
  for (int c = std::fgetc(pipe.get()); c != EOF; c = std::fgetc(pipe.get())) {
    output += static_cast<char>(c);
  }
  return output;
}

EnginePlan plan_on(Gpus gpus) {
  EnginePlan plan;
  plan.name = "engine-0";
  plan.model = "org/model";
  plan.served_names = {"org/model", "short"};
  plan.gpus = std::move(gpus);
  plan.port = 8100;
  plan.log_file = "logs/engine-0.log";
  plan.argv = {"vllm", "serve", "org/model"};
  plan.environment = engine_environment(plan.gpus, "run-engine-0", {});
  return plan;
}

TEST(FlagsFor, WritesNamesWithDashes) {
  EXPECT_EQ(flags("max_num_seqs", "64"), (Words{"--max-num-seqs", "64"}));
  EXPECT_EQ(flags("max-num-seqs", "64"), (Words{"--max-num-seqs", "64"}));
}

TEST(FlagsFor, TrueIsABareFlag) {
  EXPECT_EQ(flags("trust_remote_code", true), Words{"--trust-remote-code"});
}

TEST(FlagsFor, FalseIsTheNoFormOfWhatMayBeOn) {
  EXPECT_EQ(flags("enable_prefix_caching", false), Words{"--no-enable-prefix-caching"});
  EXPECT_EQ(flags("enable-chunked-prefill", false), Words{"--no-enable-chunked-prefill"});
}

TEST(FlagsFor, FalseOmitsWhatIsOffAnyway) {
  for (const char* name : {"trust_remote_code", "enforce-eager", "enable_lora", "headless",
                           "disable_log_stats", "no_enable_prefix_caching"}) {
    EXPECT_EQ(flags(name, false), Words{}) << name;
    EXPECT_EQ(flags(name, true).size(), 1u) << name;
  }
}

TEST(FlagsFor, KeepsAShortFlagAsItIs) {
  EXPECT_EQ(flags("-O3", true), Words{"-O3"});
  EXPECT_EQ(flags("-O", "3"), (Words{"-O", "3"}));
}

TEST(FlagsFor, AListIsTheFlagOnceAndThenItsValues) {
  EXPECT_EQ(flags("allowed_origins", Words{"a", "b c"}), (Words{"--allowed-origins", "a", "b c"}));
  EXPECT_EQ(flags("allowed_origins", Words{}), Words{});
}

TEST(FlagsFor, AMappingIsOneJsonArgument) {
  EXPECT_EQ(flags("hf_overrides", JsonText{R"({"a": "b c"})"}),
            (Words{"--hf-overrides", R"({"a": "b c"})"}));
}

TEST(FlagsFor, NullIsOmitted) {
  EXPECT_EQ(flags("quantization", std::monostate{}), Words{});
}

TEST(FlagsFor, KeepsTheKeyAfterADot) {
  EXPECT_EQ(flags("compilation_config.cudagraph_mode", "NONE"),
            (Words{"--compilation-config.cudagraph_mode", "NONE"}));
  EXPECT_EQ(flags("compilation_config.use_inductor", false),
            (Words{"--compilation-config.use_inductor", "false"}));
}

TEST(ServeArguments, PutsTheModelFirstAndServesBothNames) {
  EXPECT_EQ(serve_arguments(plan_on({0}), {{"seed", "42"}}),
            (Words{"org/model", "--host", "127.0.0.1", "--port", "8100", "--served-model-name",
                   "org/model", "short", "--seed", "42"}));
}

TEST(FillCommand, FillsPlaceholdersAndLeavesOtherBracesAlone) {
  EXPECT_EQ(fill_command({"run", "{model}", "--at={host}:{port}", "{gpus}", "{index}",
                          R"({"port": {port}, "x": {y}})"},
                         plan_on({2, 3})),
            (Words{"run", "org/model", "--at=127.0.0.1:8100", "2,3", "0",
                   R"({"port": 8100, "x": {y}})"}));
}

TEST(EngineEnvironment, PinsGpusInTheDriversOrder) {
  const auto changes = engine_environment({2, 3}, "run-engine-1", {});
  EXPECT_EQ(changes.set, (Environment{{"BATCHPROXY_ENGINE_ID", "run-engine-1"},
                                      {"CUDA_DEVICE_ORDER", "PCI_BUS_ID"},
                                      {"CUDA_VISIBLE_DEVICES", "2,3"},
                                      {"NO_COLOR", "1"},
                                      {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "120"},
                                      {"VLLM_LOGGING_COLOR", "0"}}));
}

TEST(EngineEnvironment, WithoutGpusPinsNothing) {
  const auto changes = engine_environment({}, "id", {});
  EXPECT_FALSE(changes.set.contains("CUDA_VISIBLE_DEVICES"));
  EXPECT_FALSE(changes.set.contains("CUDA_DEVICE_ORDER"));
}

TEST(EngineEnvironment, RemovesWhatWouldBreakAnEngine) {
  const auto changes = engine_environment({0}, "id",
                                          {{"BATCHPROXY_ENGINE_ID", "outer"},
                                           {"BATCHPROXY_LISTEN", ":8000"},
                                           {"HF_TOKEN", "kept"},
                                           {"VLLM_API_KEY", "secret"},
                                           {"VLLM_HOST_IP", "tcp://10.0.0.1:80"},
                                           {"VLLM_PORT", "tcp://10.0.0.1:8000"},
                                           {"NOTIFY_SOCKET", "/run/notify"},
                                           {"WATCHDOG_USEC", "30000000"}});
  EXPECT_EQ(changes.unset, (Words{"BATCHPROXY_LISTEN", "NOTIFY_SOCKET", "VLLM_API_KEY",
                                  "VLLM_HOST_IP", "VLLM_PORT", "WATCHDOG_USEC"}));
}

TEST(EngineEnvironment, KeepsAHostAddressThatIsOne) {
  EXPECT_EQ(engine_environment({0}, "id", {{"VLLM_HOST_IP", "10.0.0.1"}}).unset, Words{});
}

TEST(ShellQuoted, LeavesPlainWordsAlone) {
  EXPECT_EQ(shell_quoted("--max-model-len"), "--max-model-len");
  EXPECT_EQ(shell_quoted("/models/a_b@v1.2"), "/models/a_b@v1.2");
  EXPECT_EQ(shell_quoted(""), "''");
}

TEST(ShellQuoted, AShellReadsBackWhatWasQuoted) {
  for (const std::string word :
       {"{% for m in messages %}{{ m['content'] }}{% endfor %}", "a b", "$HOME", "`id`", "it's",
        "\"quoted\"", "a\nb", "*", "~", "#no comment", "back\\slash", "!history"}) {
    EXPECT_EQ(shell_output("printf %s " + shell_quoted(word)), word);
  }
}

TEST(DryRunText, IsOneCommentAndOneCommandForEachEngine) {
  EXPECT_EQ(dry_run_text({plan_on({0, 1})}),
            "# engine-0: GPUs 0,1, http://127.0.0.1:8100, log logs/engine-0.log\n"
            "CUDA_VISIBLE_DEVICES=0,1 CUDA_DEVICE_ORDER=PCI_BUS_ID NO_COLOR=1 "
            "VLLM_HTTP_TIMEOUT_KEEP_ALIVE=120 VLLM_LOGGING_COLOR=0 vllm serve org/model\n");
}

TEST(DryRunText, SaysOfAnEngineOfAnotherNodeWhatItNeedsThere) {
  EnginePlan plan = plan_on({});
  plan.is_far = true;
  plan.far_gpus = 2;
  const std::string text = dry_run_text({plan});
  EXPECT_EQ(text.substr(0, text.find('\n')),
            "# engine-0: needs 2 GPUs, on another node, log logs/engine-0.log");
}

TEST(FillPlace, FillsInAddressAndGpus) {
  EXPECT_EQ(fill_place("http://{host}:{port}/{gpus}", "10.0.0.7", 8100, "0,1"),
            "http://10.0.0.7:8100/0,1");
  EXPECT_EQ(fill_place("{\"a\": 1}", "h", 1, ""), "{\"a\": 1}");
}

TEST(DryRunText, SeparatesEnginesByAnEmptyLine) {
  const std::string one = dry_run_text({plan_on({0})});
  EXPECT_EQ(dry_run_text({plan_on({0}), plan_on({0})}), one + "\n" + one);
}

TEST(DryRunText, CanBePasted) {
  EnginePlan plan = plan_on({4, 5});
  plan.environment.unset = {"VLLM_PORT"};
  plan.argv = {"sh", "-c", "echo \"$CUDA_VISIBLE_DEVICES [${VLLM_PORT-unset}] $1\"", "sh", "it's"};
  EXPECT_EQ(shell_output("export VLLM_PORT=1\n" + dry_run_text({plan})), "4,5 [unset] it's\n");
}

}  // namespace
}  // namespace batchproxy
