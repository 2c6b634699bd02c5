// tests/proxy/choice_scores_test.cc - what answers of completions tell of choices.
#include "proxy/decisions/choice_scores.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using ::testing::SizeIs;

std::vector<DecisionChoice> choices(std::initializer_list<const char*> texts) {
  std::vector<DecisionChoice> choices;
  for (const char* text : texts) choices.push_back({text, "0"});
  return choices;
}

std::string with_logprobs(std::string_view logprobs) {
  return fmt::format(R"({{"model":"m","choices":[{{"index":0,"text":"x","logprobs":{}}}],)"
                     R"("usage":{{"prompt_tokens":7,"completion_tokens":1,)"
                     R"("prompt_tokens_details":{{"cached_tokens":4}}}}}})",
                     logprobs);
}

TEST(ChoiceScores, NextTokenIsFoundInBothForms) {
  for (const char* logprobs : {
           R"({"tokens":[" A"],"top_logprobs":[{" B":-2.5," A":-0.5,"A":-9}]})",
           R"({"content":[{"token":" A","top_logprobs":[{"token":" B","logprob":-2.5},
               {"token":" A","logprob":-0.5}]}]})",
       }) {
    const ScoredChoices scored = read_next_token(with_logprobs(logprobs), choices({" A", " B"}));
    ASSERT_THAT(scored.scores, SizeIs(2)) << logprobs;
    EXPECT_EQ(scored.scores[0].logprob, -0.5);
    EXPECT_EQ(scored.scores[1].logprob, -2.5);
    EXPECT_EQ(scored.scores[1].tokens, 1u);
    EXPECT_EQ(scored.model, "m");
    EXPECT_EQ(scored.usage.prompt_tokens, 7u);
    EXPECT_EQ(scored.usage.completion_tokens, 1u);
    EXPECT_EQ(scored.usage.cached_tokens, 4u);
  }
}

TEST(ChoiceScores, NextTokenTellsNothingUnlessEachChoiceIsThere) {
  const std::string body = with_logprobs(R"({"top_logprobs":[{" A":-0.5," Ba":-1}]})");
  const ScoredChoices scored = read_next_token(body, choices({" A", " B"}));
  EXPECT_THAT(scored.scores, SizeIs(0));
  EXPECT_TRUE(scored.has_logprobs);
}

TEST(ChoiceScores, AnswersWithoutLogprobsTellNothing) {
  for (const char* body :
       {"", "{", "[]", "{}", R"({"choices":[]})", R"({"choices":[{"text":"x"}]})",
        R"({"choices":[{"index":0,"logprobs":null}]})",
        R"({"choices":[{"index":0,"logprobs":{"top_logprobs":[null],"tokens":[1],
            "token_logprobs":[1],"text_offset":[1]}}]})",
        R"({"choices":[{"index":0,"logprobs":{"content":[]}}]})"}) {
    for (const ScoredChoices& scored :
         {read_next_token(body, choices({"A"})), read_continuations(body, choices({"A"}))}) {
      EXPECT_THAT(scored.scores, SizeIs(0)) << body;
      EXPECT_FALSE(scored.has_logprobs) << body;
    }
  }
}

// One echoed prompt that ends with `choice`, and its score.
struct EchoRow {
  const char* what;
  const char* choice;
  const char* logprobs;
  int generated;
  double logprob;
  unsigned tokens;
};

TEST(ChoiceScores, ContinuationIsTheTokensThatEndBehindTheContext) {
  const EchoRow rows[] = {
      {"two tokens, and a generated one", " A b",
       R"({"tokens":["x",":"," A"," b"," c"],"token_logprobs":[null,-1,-2,-4,-8],
           "text_offset":[0,1,2,4,6]})",
       1, -6, 2},
      {"none generated", " A b",
       R"({"tokens":["x",":"," A"," b"],"token_logprobs":[null,-1,-2,-4],"text_offset":[0,1,2,4]})",
       0, -6, 2},
      {"a token of the engine's own at the beginning", " A b",
       R"({"tokens":["<s>","x",":"," A"," b"," c"],"token_logprobs":[null,-1,-1,-2,-4,-8],
           "text_offset":[0,3,4,5,7,9]})",
       1, -6, 2},
      {"a token that begins in the context", " A",
       R"({"tokens":["x",": A"," c"],"token_logprobs":[null,-2,-8],"text_offset":[0,1,4]})", 1, -2,
       1},
      {"one character of two tokens", "ü",
       R"({"tokens":["x","","ü","."],"token_logprobs":[null,-1,-2,-8],"text_offset":[0,1,1,2]})", 1,
       -3, 2},
      {"code points are counted, not bytes", "ß",
       R"({"tokens":["ä","ö","ß","."],"token_logprobs":[null,-1,-2,-8],"text_offset":[0,1,2,3]})",
       1, -2, 1},
      {"the generated token has no text", " A",
       R"({"tokens":["x"," A",""],"token_logprobs":[null,-2,-8],"text_offset":[0,1,3]})", 1, -2, 1},
  };
  for (const EchoRow& row : rows) {
    const std::string body = fmt::format(
        R"({{"choices":[{{"index":0,"logprobs":{}}}],"usage":{{"completion_tokens":{}}}}})",
        row.logprobs, row.generated);
    const ScoredChoices scored = read_continuations(body, choices({row.choice}));
    ASSERT_THAT(scored.scores, SizeIs(1)) << row.what;
    EXPECT_DOUBLE_EQ(scored.scores[0].logprob, row.logprob) << row.what;
    EXPECT_EQ(scored.scores[0].tokens, row.tokens) << row.what;
  }
}

TEST(ChoiceScores, ContinuationsAreFoundByTheirIndex) {
  constexpr std::string_view kEcho =
      R"({{"index":{},"logprobs":{{"tokens":["x","A","."],"token_logprobs":[null,{},-1],"text_offset":[0,1,2]}}}})";
  const auto answer = [&](int first, int second) {
    return fmt::format(R"({{"choices":[{},{}]}})", fmt::format(kEcho, first, -3),
                       fmt::format(kEcho, second, -5));
  };
  const ScoredChoices scored = read_continuations(answer(1, 0), choices({"A", "B"}));
  ASSERT_THAT(scored.scores, SizeIs(2));
  EXPECT_EQ(scored.scores[0].logprob, -5);
  EXPECT_EQ(scored.scores[1].logprob, -3);
  EXPECT_THAT(read_continuations(answer(0, 0), choices({"A", "B"})).scores, SizeIs(0));
  EXPECT_THAT(read_continuations(answer(0, 2), choices({"A", "B"})).scores, SizeIs(0));
  EXPECT_THAT(read_continuations(answer(0, 1), choices({"A", "B", "C"})).scores, SizeIs(0));
}

TEST(ChoiceScores, AFirstTokenHasNoProbability) {
  const std::string body =
      R"({"choices":[{"index":0,"logprobs":{"tokens":["xA","."],"token_logprobs":[null,-1],"text_offset":[0,2]}}]})";
  const ScoredChoices scored = read_continuations(body, choices({"A"}));
  EXPECT_THAT(scored.scores, SizeIs(0));
  EXPECT_TRUE(scored.has_logprobs);
}

TEST(ChoiceScores, QuotesWhatAnErrorSays) {
  EXPECT_EQ(message_in(R"({"error":{"message":"a","code":400}})"), "a");
  EXPECT_EQ(message_in(R"({"error":"b"})"), "b");
  EXPECT_EQ(message_in(R"({"object":"error","message":"c"})"), "c");
  EXPECT_EQ(message_in(R"({"detail":"Not Found"})"), "Not Found");
  EXPECT_EQ(message_in("<html>"), "");
  EXPECT_EQ(message_in("[1]"), "");
  EXPECT_THAT(message_in(fmt::format(R"({{"error":"{}"}})", std::string(1000, 'x'))), SizeIs(303));
}

}  // namespace
}  // namespace batchproxy
