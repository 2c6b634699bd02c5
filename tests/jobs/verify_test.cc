// tests/jobs/verify_test.cc - which answers are asked for again, and what counts as another one.
#include "proxy/jobs/run/verify.h"

#include <string>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(SaidIn, IsWhatAnAnswerSaysWithoutWhatDiffersEachTime) {
  EXPECT_EQ(said_in(R"({"id":"1","created":5,"choices":[{"text":"A"},{"text":"B"}]})"), "A\nB");
  EXPECT_EQ(said_in(R"({"id":"2","choices":[{"message":{"role":"assistant","content":"A"}}]})"),
            "A");
  EXPECT_EQ(said_in(R"({"choices":[{"message":{"content":null,"tool_calls":[1]}}]})"),
            R"({"content":null,"tool_calls":[1]})");
  EXPECT_EQ(said_in(R"({"id":"3","data":[{"embedding":[1, 2]}]})"), R"([{"embedding":[1,2]}])");
  EXPECT_EQ(said_in("no JSON"), "no JSON");
  EXPECT_EQ(said_in(R"({"answers":[{"choice":"A","confidence":0.5},{"choice":true}]})"),
            "\"A\"\ntrue");
  EXPECT_EQ(said_in(R"({"answers":[{"type":"refusal"}]})"), R"({"type":"refusal"})");
}

TEST(Verify, HasAnExitCode) {
  VerifyResult result;
  EXPECT_EQ(exit_code_of(result), 1) << "nothing was asked";
  result.same = 3;
  EXPECT_EQ(exit_code_of(result), 0);
  result.unanswered = 1;
  EXPECT_EQ(exit_code_of(result), 1);
  result.other = 1;
  EXPECT_EQ(exit_code_of(result), 5);
}

TEST(Sample, IsAShareAndTheSameEachTime) {
  int taken = 0;
  int by_another_seed = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string key = "k" + std::to_string(i);
    const bool in = is_in_sample(key, 0.05, 1);
    EXPECT_EQ(in, is_in_sample(key, 0.05, 1));
    EXPECT_TRUE(!in || is_in_sample(key, 0.5, 1)) << "a larger sample holds the smaller one";
    taken += in;
    by_another_seed += in && is_in_sample(key, 0.05, 2);
  }
  EXPECT_NEAR(taken, 500, 80);
  EXPECT_LT(by_another_seed, 60);
  EXPECT_TRUE(is_in_sample("any", 1, 1));
}

}  // namespace
}  // namespace batchproxy
