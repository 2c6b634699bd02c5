// tests/jobs/common_refusal_test.cc - what ends a run that no answer would come of.
#include "proxy/jobs/run/common_refusal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

std::vector<ItemOutcome> outcomes(std::size_t count, unsigned status, const std::string& body) {
  ItemOutcome one;
  one.state = status >= 200 && status < 300 ? ItemState::kAnswered : ItemState::kFailed;
  one.status = status;
  one.answer = body;
  return std::vector<ItemOutcome>(count, one);
}

const std::string kNoModel = R"({"error":{"message":"The model `x` does not exist."}})";

TEST(CommonRefusal, IsSaidOnceEnoughHaveMetIt) {
  CommonRefusal refusal;
  refusal.add(outcomes(19, 404, kNoModel));
  EXPECT_FALSE(refusal.sentence(true));
  refusal.add(outcomes(1, 404, kNoModel));
  ASSERT_TRUE(refusal.sentence(true));
  EXPECT_THAT(*refusal.sentence(true), HasSubstr("status 404: The model `x` does not exist."));
  EXPECT_THAT(*refusal.sentence(true), HasSubstr("--default-model"));
}

TEST(CommonRefusal, OfAKeyIsSaidAtOnce) {
  CommonRefusal refusal;
  refusal.add(outcomes(1, 401, R"({"error":{"message":"Incorrect API key."}})"));
  EXPECT_THAT(refusal.sentence(false).value(), HasSubstr("set OPENAI_API_KEY"));
  EXPECT_THAT(refusal.sentence(true).value(), HasSubstr("is not taken: Incorrect API key."));
}

TEST(CommonRefusal, OfWhatSpeaksAnotherProtocolNamesTheAddress) {
  CommonRefusal refusal;
  refusal.add(outcomes(20, 0, "the connection failed: bad version"));
  EXPECT_THAT(refusal.sentence(true).value(), HasSubstr("(the connection failed: bad version)"));
  EXPECT_THAT(refusal.sentence(true).value(), HasSubstr("is --url the address that your workers ask?"));
}

struct Case {
  const char* name;
  std::vector<ItemOutcome> first;
  std::vector<ItemOutcome> then;
};

TEST(CommonRefusal, IsRuledOutByAnythingElse) {
  const Case cases[] = {
      {"an answer", outcomes(19, 404, kNoModel), outcomes(1, 200, "{}")},
      {"another status", outcomes(19, 404, kNoModel), outcomes(1, 400, kNoModel)},
      {"lost in another way", outcomes(19, 0, "end of stream"), outcomes(1, 0, "bad version")},
      {"another model", outcomes(19, 404, kNoModel), outcomes(1, 404, "no `y`")},
      {"questions that are too long", outcomes(10, 400, "too long"), outcomes(10, 400, "too long")},
      {"an engine that fails", outcomes(10, 500, "oh"), outcomes(10, 500, "oh")},
  };
  for (const Case& each : cases) {
    CommonRefusal refusal;
    refusal.add(each.first);
    refusal.add(each.then);
    EXPECT_TRUE(refusal.is_ruled_out()) << each.name;
    EXPECT_FALSE(refusal.sentence(true)) << each.name;
    EXPECT_THAT(refusal.take(), SizeIs(20)) << each.name;
    EXPECT_THAT(refusal.take(), SizeIs(0)) << each.name;
  }
}

}  // namespace
}  // namespace batchproxy
