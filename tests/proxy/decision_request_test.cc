// tests/proxy/decision_request_test.cc - which texts a body of POST /v1/decisions asks about.
#include "proxy/decisions/decision_request.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string body(std::string_view input, std::string_view question) {
  return fmt::format(R"({{"model":"m","input":{},"questions":[{}]}})", input, question);
}

constexpr std::string_view kRawChoice =
    R"({"type":"choice","name":"q","instructions":"","choices":[{"value":" A"},{"value":" B"}]})";

std::vector<std::string> texts(const DecisionQuestion& question) {
  std::vector<std::string> texts;
  for (const DecisionChoice& choice : question.choices) texts.push_back(choice.text);
  return texts;
}

TEST(DecisionRequest, WithoutInstructionsIsTheInputAlone) {
  const auto request = parse_decision(body(R"("Which?\nAnswer:")", kRawChoice));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->model, "m");
  EXPECT_EQ(request->input, "Which?\nAnswer:");
  EXPECT_EQ(request->method, DecisionMethod::kAny);
  const DecisionQuestion& question = request->questions.at(0);
  EXPECT_EQ(question.name, R"("q")");
  EXPECT_EQ(question.context, "");
  EXPECT_THAT(texts(question), ElementsAre(" A", " B"));
  EXPECT_EQ(question.choices[0].value, R"(" A")");
}

TEST(DecisionRequest, BlanksAtTheInputsEndBelongToTheChoices) {
  const auto request = parse_decision(
      body(R"("Answer: ")",
           R"({"type":"choice","instructions":"","choices":[{"value":"A"},{"value":true}]})"));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->input, "Answer:");
  EXPECT_THAT(texts(request->questions[0]), ElementsAre(" A", " true"));
  EXPECT_EQ(request->questions[0].choices[0].value, R"("A")");
  EXPECT_EQ(request->questions[0].choices[1].value, "true");
  EXPECT_EQ(request->questions[0].name, "null");
}

TEST(DecisionRequest, SoManyBlanksMayMove) {
  const std::string input = "\"x:" + std::string(1000, ' ') + "\"";
  const auto request = parse_decision(body(input, kRawChoice));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->input, "x:" + std::string(1000 - 256, ' '));
  EXPECT_EQ(request->questions[0].choices[0].text, std::string(256, ' ') + " A");
}

struct Layout {
  const char* question;
  const char* context;
  std::vector<std::string> texts;
};

TEST(DecisionRequest, IsLaidOutWhereItHasInstructions) {
  const Layout rows[] = {
      {R"({"type":"choice","instructions":"Spam?","choices":[{"value":"yes"},{"value":"no"}]})",
       "\n\nSpam?\nAnswer:",
       {" yes", " no"}},
      {R"({"type":"choice","instructions":"Spam?",
           "choices":[{"value":"yes","description":"unasked"},{"value":"no"}]})",
       "\n\nSpam?\nyes: unasked\nAnswer:",
       {" yes", " no"}},
      {R"({"type":"predicate","instructions":"It is spam."})",
       "\n\nIt is spam.\nTrue or false?\nAnswer:",
       {" true", " false"}},
      {R"({"type":"score","instructions":"How rude?",
           "levels":[{"label":"mild"},{"label":"rude","description":"swears"}]})",
       "\n\nHow rude?\n0: mild\n1: rude - swears\nAnswer with the number of a level.\nAnswer:",
       {" 0", " 1"}},
      {R"({"type":"choice","instructions":[{"type":"input_text","text":"Spam?"},
           {"type":"input_json","data":{"a": 1}}],"choices":[{"value":"yes"},{"value":"no"}]})",
       "\n\nSpam?\n{\"a\":1}\nAnswer:",
       {" yes", " no"}},
  };
  for (const Layout& row : rows) {
    const auto request = parse_decision(body(R"("text ")", row.question));
    ASSERT_TRUE(request) << request.error().message;
    EXPECT_EQ(request->input, "text");
    EXPECT_EQ(request->questions[0].context, std::string(" ") + row.context);
    EXPECT_EQ(texts(request->questions[0]), row.texts) << row.question;
  }
}

TEST(DecisionRequest, ReadsMessagesAsText) {
  const std::pair<const char*, const char*> rows[] = {
      {R"([{"role":"user","content":"alone"}])", "alone"},
      {R"([{"type":"message","role":"user","content":[{"type":"input_text","text":"a"},
           {"type":"input_text","text":"b"}]}])",
       "a\nb"},
      {R"([{"role":"system","content":"s"},
           {"role":"assistant","content":[{"type":"output_text","text":"o"}]}])",
       "system: s\n\nassistant: o"},
  };
  for (const auto& [input, text] : rows) {
    const auto request = parse_decision(body(input, kRawChoice));
    ASSERT_TRUE(request) << request.error().message;
    EXPECT_EQ(request->input, text);
  }
}

struct Wrong {
  std::string body;
  const char* param;
  const char* says;
};

TEST(DecisionRequest, SaysWhatIsWrong) {
  const std::string choice = R"({"type":"choice","instructions":"","choices":)";
  const Wrong rows[] = {
      {"[]", "", "not a JSON object"},
      {R"({"model":"m","questions":[]})", "input", "a string, or a list of messages"},
      {body(R"("")", kRawChoice), "input", "is empty"},
      {body(R"(" \n")", kRawChoice), "input", "is empty"},
      {body("[]", kRawChoice), "input", "is empty"},
      {body("1", kRawChoice), "input", "a string, or a list of messages"},
      {R"({"model":"m","input":"x"})", "questions", "a list of 1 to 400"},
      {R"({"model":"m","input":"x","questions":[]})", "questions", "a list of 1 to 400"},
      {body(R"("x")", "1"), "questions[0].type", "`predicate`, `choice` or `score`"},
      {body(R"("x")", R"({"type":"essay"})"), "questions[0].type", "`predicate`"},
      {body(R"("x")", R"({"type":"choice","instructions":""})"), "questions[0].choices",
       "a list of 2 to 255"},
      {body(R"("x")", choice + "[]}"), "questions[0].choices", "a list of 2 to 255"},
      {body(R"("x")", choice + R"([{"value":"A"}]})"), "questions[0].choices",
       "a list of 2 to 255"},
      {body(R"("x")", choice + R"([{"value":"A"},{"value":1}]})"), "questions[0].choices[1].value",
       "a string, true or false"},
      {body(R"("x")", choice + R"([{"value":"A"},"B"]})"), "questions[0].choices[1].value",
       "a string, true or false"},
      {body(R"("x")", choice + R"([{"value":"A"},{"value":""}]})"), "questions[0].choices[1]",
       "is empty"},
      {body(R"("x")", choice + R"([{"value":true},{"value":"true"}]})"), "questions[0]", "twice"},
      {body(R"("x")", R"({"type":"score","levels":[{"label":"one"}]})"), "questions[0].levels",
       "a list of 2 to 255"},
      {body(R"([{"role":"user","content":[{"type":"input_image","image_url":"u"}]}])", kRawChoice),
       "input[0].content", "text alone"},
      {body(R"([{"type":"function_call","name":"f"}])", kRawChoice), "input[0]", "text alone"},
      {R"({"input":"x","questions":[],"method":"guess"})", "method", "`continuations`"},
  };
  for (const Wrong& row : rows) {
    const auto request = parse_decision(row.body);
    ASSERT_FALSE(request) << row.body;
    EXPECT_EQ(request.error().param, row.param) << row.body;
    EXPECT_THAT(request.error().message, HasSubstr(row.says)) << row.body;
  }
}

TEST(DecisionRequest, MethodIsFoundInAnyBody) {
  EXPECT_EQ(method_asked_for(R"({"method":"next_token"})"), DecisionMethod::kNextToken);
  EXPECT_EQ(method_asked_for(R"({"method":"continuations"})"), DecisionMethod::kContinuations);
  EXPECT_EQ(method_asked_for(R"({"method":"engine"})"), DecisionMethod::kEngine);
  for (const char* other : {"", "[]", "{}", R"({"method":null})", R"({"method":"guess"})"}) {
    EXPECT_EQ(method_asked_for(other), DecisionMethod::kAny) << other;
  }
}

}  // namespace
}  // namespace batchproxy
