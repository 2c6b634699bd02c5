// tests/proxy/reload_test.cc - what a reload of the configuration changes, and what it does not.
#include "proxy/control/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/loader.h"
#include "proxy/control/topology.h"

namespace batchproxy {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Options options_of(std::string text) {
  LoadResult result = load({"my.yaml", std::move(text), {}, {}});
  for (const Diagnostic& diagnostic : result.diagnostics) {
    EXPECT_TRUE(result.ok()) << diagnostic.format();
  }
  return std::move(result.options);
}

std::vector<std::string> servers_of(const Options& options) {
  std::vector<std::string> servers;
  for (const BackendRecord& backend : running_servers(options)) {
    servers.push_back(backend.endpoint->authority + " " + backend.endpoint->api_key);
  }
  return servers;
}

const std::string kRunning = "batchproxy: {backends: [http://10.0.0.1:8000]}\n";

TEST(PlanReload, ChangesNothingWhenNothingHas) {
  const ReloadPlan plan = plan_reload(options_of(kRunning), options_of(kRunning));
  EXPECT_THAT(plan.lines, IsEmpty());
  EXPECT_THAT(servers_of(plan.options), ElementsAre("10.0.0.1:8000 "));
}

TEST(PlanReload, TakesOverWhatCanChangeWhileWeRun) {
  const ReloadPlan plan = plan_reload(
      options_of(kRunning),
      options_of("model: {generator_settings: {batch_size: 8, batch_timeout: 2}}\n"
                 "batchproxy: {backends: [http://10.0.0.1:8000, http://10.0.0.2:8000], "
                 "hold_timeout: 5, max_queue: 7, request_timeout: 30, attempt_timeout: 3, "
                 "log_level: debug, affinity: false, merge: 'off', health_interval: 9}\n"));
  EXPECT_THAT(plan.lines,
              testing::UnorderedElementsAre(
                  "batch_size: 16 -> 8", "batch_timeout: 0.5 -> 2",
                  "backends[http://10.0.0.2:8000].url: none -> http://10.0.0.2:8000",
                  "hold_timeout: 110 -> 5", "max_queue: 100000 -> 7", "request_timeout: 600 -> 30",
                  "attempt_timeout: 0 -> 3", "log_level: info -> debug", "affinity: true -> false",
                  "merge: auto -> off", "health_interval: 2 -> 9"));
  EXPECT_EQ(*plan.options.worker.batch_size, 8);
  EXPECT_EQ(plan.options.proxy.hold_timeout->count(), 5);
  EXPECT_EQ(*plan.options.proxy.max_queue, 7);
  EXPECT_EQ(*plan.options.proxy.log_level, "debug");
  EXPECT_THAT(servers_of(plan.options), ElementsAre("10.0.0.1:8000 ", "10.0.0.2:8000 "));
}

// Whatever is said to wait for a restart keeps its value, and what is not, does not.
TEST(PlanReload, LeavesForARestartWhatItSaysItDoes) {
  const Options current = options_of(kRunning);
  const Options wanted = options_of(
      "model: {generator_settings: {hf_model_id: org/m, model: name, enable_batching: false, "
      "server_startup_timeout: 7, vllm_args: {max_model_len: 5}}}\n"
      "batchproxy: {backends: [http://10.0.0.1:8000], listen: '127.0.0.1:9000', "
      "admin: '127.0.0.1:9001', io_threads: 2, flush: fixed, max_prompts: 5, "
      "max_buffered_bytes: 70000, max_connections: 99, idle_timeout: 7, "
      "launcher: {engine: sim, servers: 3, port_base: 9000}}\n");
  const ReloadPlan plan = plan_reload(current, wanted);
  std::vector<std::string> expected;
  for (const char* key :
       {"hf_model_id", "model", "enable_batching", "server_startup_timeout", "vllm_args.max",
        "listen", "admin", "io_threads", "flush", "max_prompts", "max_buffered_bytes",
        "max_connections", "launcher.engine", "launcher.servers", "launcher.port_base"}) {
    EXPECT_THAT(plan.lines, Contains(testing::AllOf(testing::StartsWith(key),
                                                    testing::EndsWith(" (after a restart)"))));
  }
  EXPECT_THAT(plan.lines, Contains("idle_timeout: 120 -> 7"));
  // What is in force then differs from before in nothing but that.
  EXPECT_THAT(plan_reload(current, plan.options).lines, ElementsAre("idle_timeout: 120 -> 7"));
}

TEST(PlanReload, KeepsServersThatRunWhenEnginesShallBeStarted) {
  const std::string launched = "model: {boot_local: true, hf_model_id: org/m}\n";
  for (const std::string& running :
       {kRunning, std::string("model: {server: 127.0.0.1, port: 8005, api_key: secret}\n"),
        std::string("model: {api_key: secret}\nbatchproxy: {backends: [http://10.0.0.1:8000]}\n"),
        "model: {boot_local: true, hf_model_id: org/m}\n" + kRunning}) {
    const ReloadPlan plan = plan_reload(options_of(running), options_of(launched));
    EXPECT_THAT(plan.lines, Contains(HasSubstr("cannot take each other's place")));
    EXPECT_EQ(servers_of(plan.options), servers_of(options_of(running))) << running;
  }
}

TEST(PlanReload, KeepsEnginesThatWereStartedWhenServersThatRunAreGiven) {
  const Options current = options_of("model: {boot_local: true, hf_model_id: org/m}\n");
  for (const std::string& running :
       {kRunning, std::string("model: {server: 127.0.0.1, port: 8005}\n")}) {
    const ReloadPlan plan = plan_reload(current, options_of(running));
    EXPECT_THAT(plan.lines, Contains(HasSubstr("cannot take each other's place")));
    EXPECT_EQ(backend_source(plan.options), BackendSource::kLauncher);
    EXPECT_EQ(*plan.options.worker.hf_model_id, "org/m");
  }
}

TEST(PlanReload, SaysThatServersWaitForARestartWhereTheyDo) {
  const ReloadPlan plan = plan_reload(options_of("model: {boot_local: true, hf_model_id: org/m}\n"),
                                      options_of(kRunning));
  EXPECT_THAT(plan.lines,
              Contains("backends[http://10.0.0.1:8000].url: none -> http://10.0.0.1:8000 (after "
                       "a restart)"));
}

TEST(PlanReload, GoesFromAListOfServersToASingleOneAndBack) {
  const std::string single = "model: {server: 127.0.0.1, port: 8005}\n";
  // A list wins over boot_local, so that may be true for show.
  for (const std::string& list : {kRunning, "model: {boot_local: true}\n" + kRunning}) {
    const ReloadPlan to_single = plan_reload(options_of(list), options_of(single));
    EXPECT_THAT(servers_of(to_single.options), ElementsAre("127.0.0.1:8005 "));
    const ReloadPlan to_list = plan_reload(options_of(single), options_of(list));
    EXPECT_THAT(servers_of(to_list.options), ElementsAre("10.0.0.1:8000 "));
  }
}

TEST(PlanReload, TellsNoSecrets) {
  const ReloadPlan plan =
      plan_reload(options_of("model: {server: 127.0.0.1, port: 8005, api_key: hunter2}\n"),
                  options_of("model: {server: 127.0.0.1, port: 8005}\n"));
  for (const std::string& line : plan.lines) EXPECT_THAT(line, testing::Not(HasSubstr("hunter2")));
  EXPECT_THAT(plan.lines, Contains(testing::StartsWith("api_key: ")));
}

}  // namespace
}  // namespace batchproxy
