// tests/proxy/settings_test.cc - from the options to what the scheduler and the data path go by.
#include "proxy/control/settings.h"

#include <gtest/gtest.h>

#include "configs/loader.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

Options options_of(const std::string& proxy, const std::string& worker = "") {
  LoadResult result = load(
      {"my.yaml", "model: {server: node1" + worker + "}\nbatchproxy: {" + proxy + "}\n", {}, {}});
  for (const Diagnostic& diagnostic : result.diagnostics) {
    EXPECT_TRUE(result.ok()) << diagnostic.format();
  }
  return std::move(result.options);
}

TEST(SchedulerOptionsOf, TakeEachOptionFromItsKey) {
  const SchedulerOptions options = scheduler_options(
      options_of("flush: fixed, max_queue: 77, hold_timeout: 0.25, affinity: false, merge: always",
                 ", batch_size: 5, batch_timeout: 1.5"));
  EXPECT_EQ(options.policy, FlushPolicy::kFixed);
  EXPECT_EQ(options.batch_size, 5u);
  EXPECT_EQ(options.batch_timeout, Duration(1500ms));
  EXPECT_EQ(options.max_queue, 77u);
  EXPECT_EQ(options.hold_timeout, Duration(250ms));
  EXPECT_FALSE(options.affinity);
  EXPECT_EQ(options.merge, MergePolicy::kAlways);
}

TEST(SchedulerOptionsOf, AreTheSchedulersOwnByDefault) {
  const SchedulerOptions options = scheduler_options(options_of("")), own;
  EXPECT_EQ(options.policy, own.policy);
  EXPECT_EQ(options.batch_size, own.batch_size);
  EXPECT_EQ(options.batch_timeout, own.batch_timeout);
  EXPECT_EQ(options.max_queue, own.max_queue);
  EXPECT_EQ(options.hold_timeout, own.hold_timeout);
  EXPECT_EQ(options.affinity, own.affinity);
  EXPECT_EQ(options.merge, own.merge);
}

TEST(SchedulerOptionsOf, PutNoBatchesTogetherWhenBatchingIsOff) {
  for (const char* flush : {"flush: eager", "flush: fixed"}) {
    EXPECT_EQ(flush_policy(options_of(flush, ", enable_batching: false")), FlushPolicy::kOff);
  }
  EXPECT_EQ(to_string(flush_policy(options_of("", ", enable_batching: false"))), "off");
  EXPECT_EQ(to_string(flush_policy(options_of("flush: fixed"))), "fixed");
  EXPECT_EQ(to_string(flush_policy(options_of("flush: eager"))), "eager");
}

TEST(SchedulerOptionsOf, KnowAPolicyForEachWordOfTheKey) {
  for (const std::string_view word : ProxyOptions().flush.limits.words) {
    EXPECT_TRUE(flush_policy_of(word)) << word;
  }
}

TEST(DataPathSettingsOf, TakeEachOptionFromItsKey) {
  const DataPathSettings settings = data_path_settings(
      options_of(
          "max_body_bytes: 2048, request_timeout: 11, attempt_timeout: 12, connect_timeout: "
          "13, idle_timeout: 14, stall_timeout: 15, max_buffered_bytes: 70000, "
          "max_connections: 16, max_prompts: 17, max_answer_bytes: 4096, pass_headers: [X-Mine], "
          "allowed_origins: ['*']"),
      1);
  EXPECT_EQ(settings.max_body, 2048u);
  EXPECT_EQ(settings.max_answer, 4096u);
  EXPECT_TRUE(settings.passed.request.has("x-mine"));
  EXPECT_TRUE(settings.passed.answer.has("x-mine"));
  EXPECT_FALSE(settings.cors.empty());
  EXPECT_EQ(settings.request_timeout, Duration(11s));
  EXPECT_EQ(settings.attempt_timeout, Duration(12s));
  EXPECT_EQ(settings.connect_timeout, Duration(13s));
  EXPECT_EQ(settings.idle_timeout, Duration(14s));
  EXPECT_EQ(settings.body_pace.stall, Duration(15s));
  EXPECT_EQ(settings.write_stall, Duration(15s));
  EXPECT_EQ(settings.max_buffered, 70000u);
  EXPECT_EQ(settings.max_clients, 16u);
  EXPECT_EQ(settings.bodies.limits.prompts, 17u);
  EXPECT_GT(settings.descriptors, 0u);
}

TEST(DataPathSettingsOf, LookForPrefixesOnlyWhereTheyDecideSomething) {
  const auto looks = [](const std::string& proxy, std::size_t backends,
                        const std::string& worker = "") {
    return data_path_settings(options_of(proxy, worker), backends).bodies.prefixes;
  };
  EXPECT_TRUE(looks("", 2));
  EXPECT_FALSE(looks("", 1));
  EXPECT_FALSE(looks("affinity: false", 2));
  EXPECT_FALSE(looks("flush: fixed", 2));
  EXPECT_FALSE(looks("", 2, ", enable_batching: false"));
}

TEST(DataPathSettingsOf, LookForPackingAndCutListsOnlyWhenBatchesAreMade) {
  const auto bodies = [](const std::string& proxy, const std::string& worker = "") {
    return data_path_settings(options_of(proxy, worker), 2).bodies;
  };
  EXPECT_TRUE(bodies("").merging);
  EXPECT_TRUE(bodies("flush: fixed, merge: always").merging);
  EXPECT_FALSE(bodies("merge: 'off'").merging);
  EXPECT_FALSE(bodies("merge: always", ", enable_batching: false").merging);
  EXPECT_EQ(bodies("", ", batch_size: 9").list_piece, 9u);
  EXPECT_EQ(bodies("", ", batch_size: 9, enable_batching: false").list_piece, 0u);
  EXPECT_EQ(bodies("max_queue: 12").max_list, 12u);
}

}  // namespace
}  // namespace batchproxy
