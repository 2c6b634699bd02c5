// tests/proxy/passed_fields_test.cc - which header fields go through.
#include "proxy/wire/passed_fields.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(PassedFields, LetThroughWhatTheOtherSideReads) {
  const PassedFields passed;
  for (const char* name : {"Content-Type", "accept", "X-Vllm-Priority", "X-Session-ID",
                           "X-data-parallel-rank", "endpoint-load-metrics-format", "baggage",
                           "anthropic-version", "Anthropic-Beta", "TraceParent"}) {
    EXPECT_TRUE(passed.request.has(name)) << name;
  }
  for (const char* name :
       {"metadata", "Location", "endpoint-load-metrics", "openai-processing-ms",
        "X-Ratelimit-Remaining-Requests", "x-ratelimit-reset-tokens", "x-inference-pod"}) {
    EXPECT_TRUE(passed.answer.has(name)) << name;
  }
}

TEST(PassedFields, KeepEverythingElse) {
  const PassedFields passed;
  for (const char* name : {"", "authorization", "cookie", "connection", "content-length", "host",
                           "x-request-id", "metadata", "x-vllm-priorities", "acceptt", "x-vllm"}) {
    EXPECT_FALSE(passed.request.has(name)) << name;
  }
  for (const char* name : {"", "server", "set-cookie", "transfer-encoding", "content-type",
                           "retry-after", "x-ratelimit", "metadatas", "accept"}) {
    EXPECT_FALSE(passed.answer.has(name)) << name;
  }
}

TEST(PassedFields, LetThroughWhatIsConfiguredInBothDirections) {
  const PassedFields passed({"X-Tenant", std::string(80, 'y')});
  EXPECT_TRUE(passed.request.has("x-tenant"));
  EXPECT_TRUE(passed.answer.has("X-TENANT"));
  EXPECT_TRUE(passed.answer.has(std::string(80, 'Y')));
  EXPECT_FALSE(passed.answer.has(std::string(81, 'Y')));
}

}  // namespace
}  // namespace batchproxy
