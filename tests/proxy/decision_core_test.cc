// tests/proxy/decision_core_test.cc - how a decision is computed, call by call.
#include "proxy/decisions/decision_core.h"

#include <cmath>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

namespace batchproxy {
namespace {

using ::testing::HasSubstr;
using Do = DecisionCore::Do;

constexpr std::string_view kSpam =
    R"({"type":"choice","name":"spam","instructions":"","choices":[{"value":" A"},{"value":" B"}]})";

DecisionCore core_of(std::string_view questions, std::string_view more = "",
                     std::uint64_t max_body = 1 << 20) {
  const auto request = parse_decision(
      fmt::format(R"({{"model":"m","input":"x:"{},"questions":[{}]}})", more, questions));
  return {request.value(), max_body};
}

constexpr std::string_view kNextToken =
    R"({"model":"served","choices":[{"index":0,"logprobs":{"top_logprobs":[{" A":-1," B":-2," true":-1," false":-3," 0":-1," 1":-1}]}}],
        "usage":{"prompt_tokens":5,"completion_tokens":1}})";
constexpr std::string_view kOnlyA =
    R"({"model":"served","choices":[{"index":0,"logprobs":{"top_logprobs":[{" A":-1}]}}],
        "usage":{"prompt_tokens":5,"completion_tokens":1}})";
constexpr std::string_view kEchoes =
    R"({"choices":[{"index":0,"logprobs":{"tokens":["x:"," A","."],"token_logprobs":[null,-4,-1],"text_offset":[0,2,4]}},
                   {"index":1,"logprobs":{"tokens":["x:"," B","."],"token_logprobs":[null,-3,-1],"text_offset":[0,2,4]}}],
        "usage":{"prompt_tokens":4,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":2}}})";
constexpr std::string_view kRefusal = R"({"error":{"message":"No such thing."}})";

TEST(DecisionCore, AsksForTheNextTokenFirst) {
  DecisionCore core = core_of(kSpam);
  ASSERT_EQ(core.begin(), Do::kAsk);
  EXPECT_EQ(core.text(),
            R"({"model":"m","prompt":"x:","max_tokens":1,"temperature":0,"logprobs":20})");
  ASSERT_EQ(core.on_answer(200, kNextToken), Do::kAnswer);
  const std::string p = fmt::format("{}", 1 / (1 + std::exp(-1.0)));
  EXPECT_THAT(core.text(), HasSubstr(R"({"answers":[{"type":"choice","choice":" A","confidence":)" +
                                     fmt::format("{}", std::exp(-1.0))));
  EXPECT_THAT(core.text(),
              HasSubstr(R"("name":"spam","probabilities":[{"value":" A","probability":)" + p +
                        R"(,"logprob":-1,"tokens":1},{"value":" B")"));
  EXPECT_THAT(core.text(),
              HasSubstr(R"("method":"next_token"}],"model":"served","usage":{"input_tokens":5,)"));
  EXPECT_THAT(core.text(), HasSubstr(R"("output_tokens":1,)"));
  EXPECT_THAT(core.text(), HasSubstr(R"("total_tokens":6})"));
}

TEST(DecisionCore, ReadsTheContinuationsWhereAChoiceIsNotOneToken) {
  DecisionCore core = core_of(kSpam);
  ASSERT_EQ(core.begin(), Do::kAsk);
  ASSERT_EQ(core.on_answer(200, kOnlyA), Do::kAsk);
  EXPECT_EQ(
      core.text(),
      R"({"model":"m","prompt":["x: A","x: B"],"max_tokens":1,"temperature":0,"logprobs":1,"echo":true})");
  ASSERT_EQ(core.on_answer(200, kEchoes), Do::kAnswer);
  EXPECT_THAT(core.text(), HasSubstr(R"("choice":" B")"));
  EXPECT_THAT(core.text(), HasSubstr(R"("logprob":-3,"tokens":1)"));
  EXPECT_THAT(core.text(), HasSubstr(R"("method":"continuations")"));
  EXPECT_THAT(core.text(), HasSubstr(R"("input_tokens":9,)"));
  EXPECT_THAT(core.text(), HasSubstr(R"("cached_tokens":2)"));
}

TEST(DecisionCore, AMethodCanBeForced) {
  DecisionCore continuations = core_of(kSpam, R"(,"method":"continuations")");
  ASSERT_EQ(continuations.begin(), Do::kAsk);
  EXPECT_THAT(continuations.text(), HasSubstr(R"("echo":true)"));
  DecisionCore next_token = core_of(kSpam, R"(,"method":"next_token")");
  ASSERT_EQ(next_token.begin(), Do::kAsk);
  ASSERT_EQ(next_token.on_answer(200, kOnlyA), Do::kRefuse);
  EXPECT_EQ(next_token.error().code, Errc::kInvalidRequest);
  EXPECT_EQ(next_token.error().param, "method");
}

TEST(DecisionCore, AsksQuestionAfterQuestion) {
  DecisionCore core =
      core_of(std::string(kSpam) +
              R"(,{"type":"predicate","instructions":"So?"})"
              R"(,{"type":"score","instructions":"How?","levels":[{"label":"a"},{"label":"b"}]})");
  ASSERT_EQ(core.begin(), Do::kAsk);
  ASSERT_EQ(core.on_answer(200, kNextToken), Do::kAsk);
  EXPECT_THAT(core.text(), HasSubstr(R"("prompt":"x:\n\nSo?\nTrue or false?\nAnswer:")"));
  ASSERT_EQ(core.on_answer(200, kNextToken), Do::kAsk);
  ASSERT_EQ(core.on_answer(200, kNextToken), Do::kAnswer);
  simdjson::dom::parser parser;
  const auto answers = parser.parse(core.text())["answers"];
  EXPECT_EQ(answers.at(0)["choice"].get_string().value(), " A");
  EXPECT_NEAR(answers.at(1)["probability"].get_double().value(), 1 / (1 + std::exp(-2.0)), 1e-12);
  EXPECT_EQ(answers.at(1)["probabilities"].at(1)["value"].get_bool().value(), false);
  EXPECT_EQ(answers.at(2)["score"].get_double().value(), 0.5);
  EXPECT_EQ(answers.at(2)["margin"].get_double().value(), 0);
  EXPECT_EQ(answers.at(2)["probabilities"].at(1)["label"].get_string().value(), "b");
  EXPECT_EQ(answers.at(2)["probabilities"].at(1)["value"].get_int64().value(), 1);
}

struct Refusal {
  const char* what;
  const char* more;
  std::vector<std::pair<unsigned, std::string_view>> answers;
  Do last;
};

TEST(DecisionCore, SaysWhatTheEngineCannotDo) {
  const Refusal rows[] = {
      {"no completions", "", {{404, R"({"detail":"Not Found"})"}}, Do::kRefuse},
      {"no completions for this model", "", {{501, kRefusal}}, Do::kRefuse},
      {"no logprobs",
       "",
       {{200, R"({"choices":[{"index":0}]})"}, {200, R"({"choices":[{"index":0}]})"}},
       Do::kRefuse},
      {"no echo", "", {{200, kOnlyA}, {400, kRefusal}}, Do::kRefuse},
      {"no echo, as llama.cpp says it",
       "",
       {{200, kOnlyA}, {500, "Only no echo is supported"}},
       Do::kRefuse},
      {"no logprobs of the prompt", "", {{200, kOnlyA}, {200, kOnlyA}}, Do::kRefuse},
      {"logprobs refused, and echo taken", "", {{400, kRefusal}, {200, kEchoes}}, Do::kAnswer},
      {"the request is refused as such", "", {{400, kRefusal}, {400, kRefusal}}, Do::kPassOn},
      {"a forced method is refused",
       R"(,"method":"continuations")",
       {{400, kRefusal}},
       Do::kPassOn},
      {"the engine is full", "", {{503, kRefusal}}, Do::kPassOn},
      {"the engine is ill", "", {{200, kOnlyA}, {500, kRefusal}}, Do::kPassOn},
  };
  for (const Refusal& row : rows) {
    DecisionCore core = core_of(kSpam, row.more);
    Do next = core.begin();
    for (const auto& [status, body] : row.answers) {
      ASSERT_EQ(next, Do::kAsk) << row.what;
      next = core.on_answer(status, body);
    }
    EXPECT_EQ(next, row.last) << row.what;
    if (next == Do::kRefuse) {
      EXPECT_EQ(core.error().code, Errc::kEngineLacksScores) << row.what;
    }
  }
}

TEST(DecisionCore, QuotesTheEngine) {
  DecisionCore core = core_of(kSpam);
  core.begin();
  ASSERT_EQ(core.on_answer(404, kRefusal), Do::kRefuse);
  EXPECT_THAT(core.error().message, HasSubstr(R"(it answers 404, "No such thing".)"));
}

TEST(DecisionCore, SendsNoCallThatIsTooLarge) {
  DecisionCore core = core_of(kSpam, R"(,"method":"continuations")", 7);
  ASSERT_EQ(core.begin(), Do::kRefuse);
  EXPECT_EQ(core.error().code, Errc::kBodyTooLarge);
}

TEST(DecisionCore, KnowsWhoLacksDecisions) {
  for (const unsigned status : {404u, 405u, 501u}) EXPECT_TRUE(lacks_decisions(status));
  for (const unsigned status : {200u, 400u, 422u, 500u, 503u})
    EXPECT_FALSE(lacks_decisions(status));
}

}  // namespace
}  // namespace batchproxy
