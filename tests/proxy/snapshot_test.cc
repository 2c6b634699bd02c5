// tests/proxy/snapshot_test.cc - /status and /metrics from one snapshot.
#include "proxy/metrics/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::HasSubstr;
using testing::Not;

Snapshot example() {
  Snapshot now;
  now.received = 10;
  now.finished[Finish::kOk] = 6;
  now.finished[Finish::kShed] = 1;
  now.queued = 1;
  now.inflight = 2;
  now.flush = "eager";
  now.merged_calls = 3;
  for (int i = 0; i < 5; ++i) now.latency.observe(std::chrono::milliseconds(5));
  now.latency.observe(std::chrono::milliseconds(40));
  now.connections = 5;
  now.connections.idle = 3;
  BackendSnapshot& engine = now.backends.emplace_back();
  engine.name = "engine-0";
  engine.url = "http://a:1";
  engine.state = BackendState::kReady;
  engine.simulated = true;
  engine.gpus = "0,1";
  engine.up = 1;
  engine.inflight = 2;
  engine.answered = 6;
  engine.failed_attempts[CallFailure::kTimedOut] = 4;
  return now;
}

TEST(Snapshot, ShowsItselfAsJson) {
  const std::string json = to_json(example());
  EXPECT_THAT(json, HasSubstr(R"("state":"ready")"));
  EXPECT_THAT(json, HasSubstr(R"("requests":{"received":10,"finished":{"ok":6,)"));
  EXPECT_THAT(json, HasSubstr(R"("shed":1)"));
  EXPECT_THAT(json, HasSubstr(R"("prompts":{"queued":0,"answered":0})"));
  EXPECT_THAT(json, HasSubstr(R"("merged_calls":3)"));
  EXPECT_THAT(json, HasSubstr(R"("connections":5)"));
  EXPECT_THAT(json, HasSubstr(R"("batches":{"full":0,)"));
  EXPECT_THAT(
      json, HasSubstr(R"("simulated":true,"launched":false,"inflight":2,"room":0,"answered":6,)"));
  EXPECT_THAT(json, HasSubstr(R"("gpus":"0,1")"));
  EXPECT_THAT(json, Not(HasSubstr("stuck")));
}

TEST(Snapshot, ShowsItselfToPrometheus) {
  const std::string text = to_prometheus(example());
  EXPECT_THAT(text, HasSubstr("# HELP batchproxy_requests_received_total Requests received whole.\n"
                              "# TYPE batchproxy_requests_received_total counter\n"
                              "batchproxy_requests_received_total 10\n"));
  EXPECT_THAT(text, HasSubstr("batchproxy_requests_finished_total{result=\"ok\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("batchproxy_backend_up{backend=\"engine-0\"} 1\n"));
  EXPECT_THAT(
      text,
      HasSubstr("batchproxy_attempts_failed_total{backend=\"engine-0\",reason=\"timeout\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("batchproxy_request_duration_seconds_bucket{le=\"0.8\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("batchproxy_request_duration_seconds_count 6\n"));
  EXPECT_THAT(text, HasSubstr("batchproxy_connections{state=\"idle\"} 3\n"
                              "batchproxy_connections{state=\"active\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("batchproxy_build_info{version=\"" BATCHPROXY_VERSION "\"} 1\n"));
}

TEST(Snapshot, CountsKeysByTheirNamesAndTheRestTogether) {
  Snapshot now;
  EXPECT_THAT(to_prometheus(now), Not(HasSubstr("batchproxy_key_requests_total")));
  now.key_names = {"alice", "bob"};
  now.by_key[1] = 7;
  EXPECT_THAT(to_prometheus(now), HasSubstr("batchproxy_key_requests_total{key=\"alice\"} 0\n"
                                            "batchproxy_key_requests_total{key=\"bob\"} 7\n"));
  EXPECT_THAT(to_prometheus(now), Not(HasSubstr("others")));
  now.by_key[kMaxKeySlots - 1] = 2;
  EXPECT_THAT(to_prometheus(now), HasSubstr("{key=\"(others)\"} 2\n"));
}

TEST(Snapshot, ShowsWhatIsCountedByModel) {
  Snapshot now;
  EXPECT_THAT(to_prometheus(now), Not(HasSubstr("batchproxy_model_")));
  ModelCounts& model = now.by_model.emplace_back();
  model.name = "llama";
  model.finished[Finish::kOk] = 5;
  now.by_model.emplace_back().name = "(others)";
  EXPECT_THAT(
      to_prometheus(now),
      HasSubstr("batchproxy_model_requests_finished_total{model=\"llama\",result=\"ok\"} 5\n"));
  EXPECT_THAT(to_json(now), HasSubstr(R"("by_model":{"llama":{"ok":5}})"));
}

TEST(Snapshot, ShowsOfAGpuWhatItsDriverTells) {
  Snapshot now;
  EXPECT_THAT(to_prometheus(now), Not(HasSubstr("batchproxy_gpu_")));
  GpuSnapshot& gpu = now.gpus.emplace_back();
  gpu.index = "3";
  gpu.name = "NVIDIA L4";
  gpu.memory_used = 1 << 30;
  gpu.temperature = 61;
  gpu.nvlink_sent = gpu.nvlink_received = gpu.utilization = GpuMetrics::kUntold;
  EXPECT_THAT(to_prometheus(now), HasSubstr("batchproxy_gpu_temperature_celsius{gpu=\"3\"} 61\n"));
  EXPECT_THAT(to_prometheus(now), Not(HasSubstr("nvlink")));
  EXPECT_THAT(to_json(now), HasSubstr(R"("gpus":[{"gpu":"3","name":"NVIDIA L4",)"));
  EXPECT_THAT(to_json(now), Not(HasSubstr("utilization")));
}

TEST(Snapshot, ShowsRecordedJobs) {
  Snapshot now;
  now.recording.push_back({"night", "alice", 3, 4, 1, 2.4});
  EXPECT_THAT(to_json(now),
              HasSubstr(R"("recorded_jobs":[{"name":"night","recorded":3,"replayed":4,)"
                        R"("under_way":1,"seconds_ago":2)"));
}

TEST(Snapshot, ReadsBackWhatItHasWritten) {
  Snapshot now = example();
  now.uptime = 12;
  now.errors[1] = 3;
  now.oldest_waiting = 1.5;
  now.waiting_for = "room";
  now.last_10s = {.received = 4.25, .answered = 4, .tokens = 1234, .errors = 0.5};
  BackendSnapshot& engine = now.backends[0];
  engine.models = "m";
  engine.doing = "loads";
  engine.silence = "its agent on n1 has not answered for 7 s";
  engine.kv_use = 0.625;
  engine.tells_figures = true;
  engine.stuck = 1;
  engine.breaker_open = 1;
  engine.condition = Condition::kStuck;
  engine.remark = "2 prompts without a byte for 31 s";
  engine.repairs = {"less memory"};
  engine.last_problem = LastProblem{"it has ended: exit code 1", 30};
  now.recording.push_back({"night", "alice", 3, 4, 1, 2});
  engine.trend = {.answers_10s = 2.5, .answers = 10, .p50 = 0.5, .p95 = 1.25, .prefix_hits = 0.75};
  const auto read = read_status(to_json(now));
  ASSERT_TRUE(read);
  EXPECT_EQ(to_json(*read), to_json(now));
}

TEST(Snapshot, ReadsAStatusOfAnotherVersion) {
  const auto read = read_status(R"({"version":"0.1","backends":[{"name":"a","state":"ready"}]})");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->version, "0.1");
  EXPECT_EQ(read->backends.at(0).name, "a");
  EXPECT_TRUE(read->any_ready());
}

TEST(Snapshot, KnowsWhatIsNoStatus) {
  for (const char* text : {"", "{", "[]", "{}", R"({"backends":3})", R"({"backends":[3]})"}) {
    EXPECT_FALSE(read_status(text)) << text;
  }
}

}  // namespace
}  // namespace batchproxy
