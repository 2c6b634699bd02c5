// tests/proxy/snapshot_test.cc - /status and /metrics from one snapshot.
#include "proxy/admin/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::HasSubstr;

Snapshot example() {
  Snapshot now;
  now.received = 10;
  now.finished[0] = 6;
  now.finished[3] = 1;
  now.queued = 1;
  now.inflight = 2;
  now.flush = "eager";
  now.latency[0] = 5;
  now.latency[2] = 1;
  now.latency_sum = 2.5;
  now.backends.push_back({.name = "engine-0",
                          .url = "http://a:1",
                          .state = BackendState::kReady,
                          .simulated = true,
                          .gpus = "0,1",
                          .inflight = 2,
                          .answered = 6});
  return now;
}

TEST(Snapshot, ShowsItselfAsJson) {
  const std::string json = to_json(example());
  EXPECT_THAT(json, HasSubstr(R"("state":"ready")"));
  EXPECT_THAT(json, HasSubstr(R"("received":10)"));
  EXPECT_THAT(json, HasSubstr(R"("shed":1)"));
  EXPECT_THAT(json, HasSubstr(R"("simulated":true)"));
  EXPECT_THAT(json, HasSubstr(R"("gpus":"0,1")"));
}

TEST(Snapshot, ShowsItselfToPrometheus) {
  const std::string text = to_prometheus(example());
  EXPECT_THAT(text, HasSubstr("batchproxy_requests_received_total 10\n"));
  EXPECT_THAT(text, HasSubstr("batchproxy_requests_finished_total{result=\"ok\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("batchproxy_backend_up{backend=\"engine-0\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("batchproxy_request_duration_seconds_bucket{le=\"0.8\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("batchproxy_request_duration_seconds_count 6\n"));
}

}  // namespace
}  // namespace batchproxy
