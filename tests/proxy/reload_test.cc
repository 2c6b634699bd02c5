// tests/proxy/reload_test.cc - what a reload of the configuration changes, and what it does not.
#include "proxy/control/reload.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/loader.h"
#include "configs/schema/backend_source.h"
#include "configs/schema/section.h"
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

// A value that differs from the given one.
bool other(bool value) {
  return !value;
}
std::int64_t other(std::int64_t value) {
  return value + 1;
}
double other(double value) {
  return value + 1;
}
Seconds other(Seconds value) {
  return value + Seconds(1);
}
std::string other(const std::string& value) {
  return value + "x";
}
std::vector<std::string> other(const std::vector<std::string>&) {
  return {"another"};
}
Arguments other(const Arguments&) {
  return {{"max_model_len", "5"}};
}
Servers other(const Servers&) {
  return std::int64_t{3};
}
GpuChoice other(const GpuChoice&) {
  return std::int64_t{3};
}
std::vector<BackendOptions> other(const std::vector<BackendOptions>& backends) {
  std::vector<BackendOptions> more = backends;
  more.emplace_back().url.value = "http://10.0.0.2:8000";
  return more;
}

Options changed_in_every_key(Options options) {
  const auto change = [](auto& key) { key.value = other(key.value); };
  for_each_key(options.worker, change);
  for_each_key(options.proxy, change);
  return options;
}

// The names of the keys whose rows say that a reload keeps them, though engines stay what they are.
std::vector<std::string> keys_that_wait() {
  const Options defaults;
  std::vector<std::string> names;
  const auto note = [&names](const auto& key) {
    if (key.applies == Applies::kAfterRestart) names.emplace_back(key.name);
  };
  for_each_key(defaults.worker, note);
  for_each_key(defaults.proxy, note);
  return names;
}

TEST(PlanReload, TreatsEachKeyAsItsRowSays) {
  const Options current = options_of(kRunning);
  const Options wanted = changed_in_every_key(current);
  const ReloadPlan plan = plan_reload(current, wanted);
  const std::vector<std::string> waiting = keys_that_wait();
  for (const std::string& line : plan.lines) {
    const std::string path = line.substr(0, line.find(": "));
    const std::string name = path.substr(path.starts_with("launcher.") ? 9
                                         : path.starts_with("jobs.")   ? 5
                                         : path.starts_with("tls.")    ? 4
                                                                       : 0);
    const bool waits = std::ranges::count(waiting, name.substr(0, name.find('.'))) > 0;
    EXPECT_EQ(line.ends_with(" (after a restart)"), waits) << line;
  }
  EXPECT_THAT(plan.lines, Contains("listen: 127.0.0.1:8000 -> 127.0.0.1:8000x (after a restart)"));
  EXPECT_THAT(plan.lines, Contains("vllm_args.max_model_len: none -> 5 (after a restart)"));
  EXPECT_THAT(plan.lines, Contains("idle_timeout: 120 -> 121"));
  // What is in force then differs from before in nothing but what was said to change.
  std::vector<std::string> applied = plan.lines;
  std::erase_if(applied, [](const std::string& line) { return line.ends_with("restart)"); });
  EXPECT_EQ(plan_reload(current, plan.options).lines, applied);
}

// Where a process listens, its memory and what it has started cannot change under it.
TEST(PlanReload, LeavesForARestartWhatAProcessCannotChange) {
  EXPECT_THAT(
      keys_that_wait(),
      testing::IsSupersetOf({"listen", "admin", "io_threads", "max_prompts", "max_buffered_bytes",
                             "max_connections", "hf_model_id", "vllm_args", "engine", "servers"}));
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
