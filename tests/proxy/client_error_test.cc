// tests/proxy/client_error_test.cc - what a client is told when an engine's answer is none.
#include "proxy/wire/client_error.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using Kind = AnswerFault::Kind;

std::string told(const AnswerFault& fault) {
  const Error error = error_of(CallFailure::kBadAnswer, "engine-2", fault);
  EXPECT_EQ(error.code, Errc::kBadBackendResponse);
  const std::string begin = "Backend engine-2 sent an invalid answer. ";
  EXPECT_TRUE(error.message.starts_with(begin)) << error.message;
  return error.message.substr(begin.size());
}

TEST(BadAnswer, IsToldWithItsReason) {
  EXPECT_EQ(told({Kind::kHttp, 0, 0, "Malformed HTTP: more than one Content-Length"}),
            "Malformed HTTP: more than one Content-Length.");
  EXPECT_EQ(told({Kind::kSize, 2000, 1024}),
            "The answer has 2000 bytes, more than the 1024 of batchproxy.max_answer_bytes.");
  EXPECT_EQ(told({Kind::kSize, 0, 1024}),
            "The answer has more than the 1024 of batchproxy.max_answer_bytes.");
  EXPECT_EQ(told({Kind::kType, 0, 0, "text/html"}),
            "The answer is not a JSON object. Its Content-Type is text/html.");
  EXPECT_EQ(told({Kind::kJson, 93, 0, "`NaN`"}),
            "The answer is not a JSON object at byte 93 (near `NaN`).");
  EXPECT_EQ(told({}), "The answer is malformed.");
}

TEST(BadAnswer, IsToldTheLogWithoutWhatItHolds) {
  EXPECT_EQ(describe({Kind::kJson, 93, 0, "`NaN`"}, /*to_its_client=*/false),
            "The answer is not a JSON object at byte 93.");
}

TEST(CallFailures, AreToldByTheNameOfTheirBackend) {
  for (const CallFailure failure : kAll<CallFailure>) {
    const Error error = error_of(failure, "engine-2");
    EXPECT_EQ(error.code, describe(failure).error);
    const bool names = error.message.find("ackend engine-2 ") != std::string::npos;
    EXPECT_EQ(names, failure != CallFailure::kRecalled) << error.message;
  }
  EXPECT_EQ(error_of(CallFailure::kNoAnswer, "engine-2").message,
            "Backend engine-2 closed the connection without an answer.");
}

}  // namespace
}  // namespace batchproxy
