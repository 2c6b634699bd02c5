// tests/configs/environment_test.cc - BATCHPROXY_* and the borrowed VLLM_* variables.
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/describe.h"
#include "configs/vllm/arguments.h"
#include "tests/configs/load_text.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;

TEST(Environment, SetsEveryKeyThatAFlagSets) {
  const LoadResult result =
      load_without_file({}, {{"BATCHPROXY_LISTEN", "127.0.0.1:9000"},
                             {"BATCHPROXY_ADMIN", "127.0.0.1:9001"},
                             {"BATCHPROXY_BACKENDS", "http://node1:8000, http://node2:8000,"},
                             {"BATCHPROXY_API_KEYS_FILE", "keys.txt"},
                             {"BATCHPROXY_ALLOW_UNAUTHENTICATED", "true"},
                             {"BATCHPROXY_ENGINE", "sim"},
                             {"BATCHPROXY_IO_THREADS", "2"},
                             {"BATCHPROXY_BATCH_SIZE", "8"},
                             {"BATCHPROXY_BATCH_TIMEOUT", "0.25"},
                             {"BATCHPROXY_FLUSH", "fixed"},
                             {"BATCHPROXY_LOG_LEVEL", "debug"}});
  EXPECT_EQ(printed(result.diagnostics), "");
  const ProxyOptions& proxy = result.options.proxy;
  EXPECT_EQ(*proxy.listen, "127.0.0.1:9000");
  EXPECT_EQ(*proxy.admin, "127.0.0.1:9001");
  EXPECT_EQ(proxy.backends->size(), 2u);
  EXPECT_EQ(*proxy.api_keys_file, "keys.txt");
  EXPECT_TRUE(*proxy.allow_unauthenticated);
  EXPECT_EQ(*proxy.launcher.engine, "sim");
  EXPECT_EQ(*proxy.io_threads, 2);
  EXPECT_EQ(*result.options.worker.batch_size, 8);
  EXPECT_EQ(*result.options.worker.batch_timeout, Seconds(0.25));
  EXPECT_EQ(*proxy.flush, "fixed");
  EXPECT_EQ(*proxy.log_level, "debug");
}

TEST(Environment, TakesClientKeysWithoutShowingThem) {
  const LoadResult result =
      load_without_file({{"--listen", "0.0.0.0:9000"}, {"--backend", "http://node1:8000"}},
                        {{"BATCHPROXY_API_KEYS", "alice alices-key-0123456789"}});
  EXPECT_EQ(printed(result.diagnostics), "");  // with keys, that address is fine
  EXPECT_EQ(result.options.api_keys, "alice alices-key-0123456789");
  EXPECT_EQ(show_effective(result.options).find("alices-key"), std::string::npos);
}

TEST(Environment, TreatsAnEmptyVariableAsUnset) {
  const LoadResult result =
      load_text("batchproxy: {backends: [http://node1:8000]}", {}, {{"BATCHPROXY_LISTEN", ""}});
  EXPECT_EQ(printed(result.diagnostics), "");
}

TEST(Environment, WarnsOfANearMissButNotOfStrangers) {
  const LoadResult result =
      load_text("batchproxy: {backends: [http://node1:8000]}", {},
                {{"BATCHPROXY_LISTN", "x"}, {"BATCHPROXY_SERVICE_HOST", "10.0.0.1"}});
  EXPECT_EQ(printed(result.diagnostics),
            "BATCHPROXY_LISTN: warning: not read; did you mean 'BATCHPROXY_LISTEN'?\n");
}

TEST(Environment, IsCollectedByPrefix) {
  ::setenv("BATCHPROXY_TEST_VALUE", "a=b", 1);
  const Environment environment = collect_environment();
  ::unsetenv("BATCHPROXY_TEST_VALUE");
  EXPECT_EQ(environment.at("BATCHPROXY_TEST_VALUE"), "a=b");
  EXPECT_FALSE(environment.contains("PATH"));
}

const Environment kScript{{"VLLM_MODEL", "facebook/opt-125m"}, {"VLLM_TENSOR_PARALLEL_SIZE", "2"},
                          {"VLLM_GPU_MEMORY_UTIL", "0.8"},     {"VLLM_DTYPE", "bfloat16"},
                          {"VLLM_TRUST_REMOTE_CODE", "1"},     {"VLLM_PORT", "8001"}};

TEST(VllmEnvironment, StartsTheModelOfALaunchScript) {
  const LoadResult result = load_without_file({}, kScript);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(backend_source(result.options), BackendSource::kLauncher);
  const WorkerOptions& worker = result.options.worker;
  EXPECT_EQ(*worker.hf_model_id, "facebook/opt-125m");
  EXPECT_EQ(worker.hf_model_id.origin.source, Source::kVllmEnvironment);
  EXPECT_EQ(*worker.vllm_args, (Arguments{{"tensor_parallel_size", "2"},
                                          {"gpu_memory_utilization", "0.8"},
                                          {"dtype", "bfloat16"},
                                          {"trust_remote_code", true}}));
}

TEST(VllmEnvironment, AnnouncesEachUse) {
  EXPECT_EQ(
      printed(load_without_file({}, kScript).diagnostics),
      "VLLM_MODEL: notice: used as hf_model_id, which nothing else sets\n"
      "VLLM_TENSOR_PARALLEL_SIZE: notice: used as vllm_args.tensor_parallel_size, which nothing "
      "else sets\n"
      "VLLM_GPU_MEMORY_UTIL: notice: used as vllm_args.gpu_memory_utilization, which nothing else "
      "sets\n"
      "VLLM_DTYPE: notice: used as vllm_args.dtype, which nothing else sets\n"
      "VLLM_TRUST_REMOTE_CODE: notice: used as vllm_args.trust_remote_code, which nothing else "
      "sets\n");
}

TEST(VllmEnvironment, FillsOnlyWhatTheFileLeavesOpen) {
  const LoadResult result = load_text(
      "model: {generator_settings: {boot_local: true, hf_model_id: m, vllm_args: "
      "{tensor-parallel-size: 8}}}",
      {}, {{"VLLM_MODEL", "other"}, {"VLLM_TENSOR_PARALLEL_SIZE", "2"}, {"VLLM_DTYPE", "half"}});
  const WorkerOptions& worker = result.options.worker;
  EXPECT_EQ(*worker.hf_model_id, "m");
  EXPECT_EQ(integer_argument(*worker.vllm_args, "tensor_parallel_size", 1), 8);
  EXPECT_EQ(find_argument(*worker.vllm_args, "dtype")->value, ArgumentValue("half"));
  EXPECT_EQ(worker.vllm_args.origin.detail, "my.yaml:1:75, VLLM_DTYPE");
}

TEST(VllmEnvironment, NamesARunningServer) {
  const LoadResult result = load_without_file(
      {}, {{"VLLM_SERVER", "rbdgx1"}, {"VLLM_PORT", "9999"}, {"VLLM_API_KEY", "CELS"}});
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(backend_source(result.options), BackendSource::kServerAndPort);
  EXPECT_EQ(*result.options.worker.server, "rbdgx1");
  EXPECT_EQ(*result.options.worker.port, 9999);
  EXPECT_EQ(*result.options.worker.api_key, "CELS");
}

TEST(VllmEnvironment, IsNotUsedBesideAListOfBackends) {
  Environment environment = kScript;
  environment["VLLM_API_KEY"] = "CELS";
  const LoadResult result = load_without_file({{"--backend", "http://node1:8000"}}, environment);
  EXPECT_EQ(printed(result.diagnostics), "");
  EXPECT_FALSE(result.options.worker.api_key.is_set());
}

TEST(VllmEnvironment, IsCheckedLikeAFile) {
  const LoadResult result =
      load_without_file({}, {{"VLLM_MODEL", "m"}, {"VLLM_TENSOR_PARALLEL_SIZE", "two"}});
  EXPECT_THAT(printed(result.diagnostics),
              HasSubstr("VLLM_TENSOR_PARALLEL_SIZE: error: tensor_parallel_size: expected a whole "
                        "number of GPUs"));
}

// vLLM gives VLLM_PORT another meaning and tools export odd values; then it says so, once.
TEST(VllmEnvironment, ReportsAPortThatIsNone) {
  const LoadResult result =
      load_without_file({}, {{"VLLM_SERVER", "rbdgx1"}, {"VLLM_PORT", "eight"}});
  EXPECT_EQ(printed(result.diagnostics),
            "VLLM_SERVER: notice: used as server, which nothing else sets\n"
            "VLLM_PORT: error: port: expected a whole number from 1 to 65535, found "
            "'eight'\n");
}

TEST(VllmEnvironment, LeavesOutWhatKubernetesSaysOfAServiceNamedVllm) {
  const Environment pod{{"VLLM_PORT", "tcp://10.96.12.7:8000"},
                        {"VLLM_PORT_8000_TCP", "tcp://10.96.12.7:8000"},
                        {"VLLM_SERVICE_HOST", "10.96.12.7"},
                        {"VLLM_SERVICE_PORT", "8000"}};
  const LoadResult result = load_text(
      "model: {generator_settings: {server: vllm}}\nbatchproxy: {listen: '127.0.0.1:9000'}", {},
      pod);
  EXPECT_EQ(printed(result.diagnostics),
            "VLLM_PORT: notice: not used as port: 'tcp://10.96.12.7:8000' is what Kubernetes or "
            "Docker says about a service of that name\n");
  EXPECT_EQ(*result.options.worker.port, 8000);
  EXPECT_EQ(printed(load_without_file({{"--backend", "http://a:1"}}, pod).diagnostics), "");
}

TEST(VllmEnvironment, TakesOnlyTheTwoValuesOfDebugThatScriptsHave) {
  const auto level = [](const std::string& debug, std::vector<Flag> flags = {}) {
    flags.emplace_back("--model", "m");
    return *load_without_file(std::move(flags), {{"DEBUG", debug}}).options.proxy.log_level;
  };
  EXPECT_EQ(level("1"), "debug");
  EXPECT_EQ(level("2"), "debug");
  EXPECT_EQ(level("express:*"), "info");
  EXPECT_EQ(level("true"), "info");
  EXPECT_EQ(level("2", {{"--log-level", "error"}}), "error");
  EXPECT_EQ(printed(load_without_file({{"--model", "m"}}, {{"DEBUG", "1"}}).diagnostics),
            "DEBUG: notice: used as log_level debug, which nothing else sets\n");
}

TEST(VllmEnvironment, CollectsTheNamesWithoutAPrefix) {
  ::setenv("GPU_COUNT", "2", 1);
  const Environment environment = collect_environment();
  ::unsetenv("GPU_COUNT");
  EXPECT_EQ(environment.at("GPU_COUNT"), "2");
}

}  // namespace
}  // namespace batchproxy
