// tests/backends/question_file_test.cc - what people have in their files, and what is asked of it.
#include "backends/questions/question_file.h"

#include <span>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

QuestionDefaults with_model_m() {
  QuestionDefaults defaults;
  defaults.model = "m";
  return defaults;
}

struct Row {
  const char* name;
  QuestionDefaults defaults;
  std::string line;
  std::string key;
  std::string path;
  std::string body;
};

void check(std::span<const Row> rows) {
  for (const Row& row : rows) {
    QuestionParser parser("q.jsonl", row.defaults);
    const auto parsed = parser.parse(row.line, 1);
    const auto* question = std::get_if<Question>(&parsed);
    ASSERT_TRUE(question) << row.name;
    EXPECT_EQ(question->key, row.key) << row.name;
    EXPECT_EQ(question->path, row.path) << row.name;
    EXPECT_EQ(question->body, row.body) << row.name;
    EXPECT_FALSE(question->lacks_model) << row.name;
  }
}

TEST(QuestionParser, MakesARequestOfALine) {
  QuestionDefaults all = with_model_m();
  all.max_tokens = 3;
  all.temperature = 0;
  QuestionDefaults chat = all;
  chat.chat = true;
  const Row rows[] = {
      {"batch line", all,
       R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"x","messages":[]}})",
       "a", "/v1/chat/completions", R"({"model":"x","messages":[]})"},
      {"batch line without a model", all,
       R"({"custom_id":"a","url":"/v1/completions","body":{"prompt":"p"}})", "a", "/v1/completions",
       R"({"model":"m","prompt":"p"})"},
      {"prompt", all, R"({"prompt":"p","id":7})", "7", "/v1/completions",
       R"({"model":"m","temperature":0,"max_tokens":3,"prompt":"p"})"},
      {"prompt without a key", all, R"({"prompt":"p"})", "line-1", "/v1/completions",
       R"({"model":"m","temperature":0,"max_tokens":3,"prompt":"p"})"},
      {"prompt that says all itself", all,
       R"({"model":"x","prompt":"p","temperature":1,"max_tokens":9})", "line-1", "/v1/completions",
       R"({"model":"x","prompt":"p","temperature":1,"max_tokens":9})"},
      {"prompt as a chat", chat, R"({"prompt":"say \"hi\""})", "line-1", "/v1/chat/completions",
       R"({"model":"m","temperature":0,"max_tokens":3,"messages":[{"role":"user","content":"say \"hi\""}]})"},
      {"messages", all, R"({"messages":[{"role":"user","content":"u"}]})", "line-1",
       "/v1/chat/completions",
       R"({"model":"m","temperature":0,"max_tokens":3,"messages":[{"role":"user","content":"u"}]})"},
      {"embedding", all, R"({"input":"e"})", "line-1", "/v1/embeddings",
       R"({"model":"m","input":"e"})"},
      {"question", with_model_m(),
       R"({"id":"q","passage":"P","question":"Q?","options":["(A) x","(B) y"],"answer":"A"})", "q",
       "/v1/completions",
       R"({"model":"m","prompt":"Context:\nP\n\nQuestion:\nQ?\n(A) x\n(B) y\nAnswer:"})"},
  };
  check(rows);
}

TEST(QuestionParser, MakesADecisionOfMultipleChoice) {
  QuestionDefaults decide = with_model_m();
  decide.choices = true;
  decide.max_tokens = 3;
  const Row rows[] = {
      {"letters", decide,
       R"({"id":"q","passage":"P","question":"Q?","options":["(A) x","B) y","C. z"]})", "q",
       "/v1/decisions",
       R"({"model":"m","input":"Context:\nP\n\nQuestion:\nQ?\n(A) x\nB) y\nC. z\nAnswer: ",)"
       R"("questions":[{"type":"choice","instructions":"","choices":[{"value":"A"},{"value":"B"},{"value":"C"}]}]})"},
      {"no letters", decide, R"({"question":"Q?","options":["A) x","x"]})", "line-1",
       "/v1/decisions",
       R"({"model":"m","input":"Question:\nQ?\nA) x\nx\nAnswer: ",)"
       R"("questions":[{"type":"choice","instructions":"","choices":[{"value":"A) x"},{"value":"x"}]}]})"},
  };
  check(rows);
  for (const char* other :
       {R"({"prompt":"p"})", R"({"custom_id":"a","url":"/v1/x","body":{"a":1}})"}) {
    QuestionParser parser("q", decide);
    EXPECT_THAT(std::get<BadLine>(parser.parse(other, 1)).sentence, HasSubstr("--choices is for"));
  }
  decide.column = "p";
  QuestionParser csv("q", decide);
  EXPECT_THAT(std::get<BadLine>(csv.parse("p", 1)).sentence, HasSubstr("--choices is for"));
}

TEST(QuestionParser, AModelMayBeAddedLater) {
  QuestionParser parser("q", {});
  const auto parsed = parser.parse(R"({"prompt":"p"})", 1);
  const auto& question = std::get<Question>(parsed);
  EXPECT_TRUE(question.lacks_model);
  EXPECT_EQ(with_model(question, "m"), R"({"model":"m","prompt":"p"})");
}

TEST(QuestionParser, SaysWhichLineIsBadAndWhatToDo) {
  const std::pair<const char*, const char*> rows[] = {
      {"prompt,answer", "A CSV file needs --column"},
      {"{\"prompt\":", "not JSON"},
      {"[1]", "no JSON object"},
      {R"({"text":"p"})", "no question: a line is"},
      {R"({"url":"/v1/x","body":{"a":1}})", "\"custom_id\" must be"},
      {R"({"custom_id":"a","url":"v1","body":{"a":1}})", "\"url\" must be a path"},
      {R"({"custom_id":"a","url":"/v1 x","body":{"a":1}})", "\"url\" must be a path"},
      {R"({"custom_id":"a","method":"GET","url":"/v1","body":{"a":1}})", "must be \"POST\""},
      {R"({"custom_id":"a","url":"/v1","body":"x"})", "\"body\" must be an object"},
      {R"({"custom_id":"a","url":"/v1","body":{"stream":true}})", "leave it out"},
      {R"({"prompt":"p","stream":true})", "leave it out"},
      {R"({"prompt":"p","id":[1]})", "the id must be"},
      {R"({"question":"p","options":[1,2]})", "a list of texts"},
      {R"({"question":"p","options":[]})", "two texts or more"},
  };
  for (const auto& [line, expected] : rows) {
    QuestionParser parser("q.jsonl", {});
    const auto parsed = parser.parse(line, 17);
    const auto* bad = std::get_if<BadLine>(&parsed);
    ASSERT_TRUE(bad) << line;
    EXPECT_THAT(bad->sentence, HasSubstr("q.jsonl:17: "));
    EXPECT_THAT(bad->sentence, HasSubstr(expected));
  }
}

TEST(QuestionParser, TheFirstLineTellsTheFormatOfAll) {
  QuestionParser parser("q", with_model_m());
  EXPECT_FALSE(parser.format());
  parser.parse(R"({"prompt":"p"})", 1);
  EXPECT_EQ(parser.format(), QuestionFormat::kPlainLines);
  const auto parsed = parser.parse(R"({"custom_id":"a","url":"/v1","body":{"a":1}})", 2);
  ASSERT_TRUE(std::get_if<BadLine>(&parsed));
}

TEST(QuestionParser, EmptyLinesAndAByteOrderMarkAreNothing) {
  QuestionParser parser("q", with_model_m());
  EXPECT_TRUE(std::holds_alternative<NoQuestion>(parser.parse("", 2)));
  EXPECT_TRUE(std::holds_alternative<NoQuestion>(parser.parse(" \t", 3)));
  EXPECT_TRUE(std::holds_alternative<Question>(parser.parse("\xEF\xBB\xBF{\"prompt\":\"p\"}", 1)));
}

QuestionDefaults column(const char* name) {
  QuestionDefaults defaults = with_model_m();
  defaults.column = name;
  return defaults;
}

TEST(QuestionParser, ReadsCsv) {
  QuestionParser parser("q.csv", column("text"));
  EXPECT_TRUE(std::holds_alternative<NoQuestion>(parser.parse("id,text", 1)));
  EXPECT_EQ(std::get<Question>(parser.parse("a,\"one, \"\"two\"\"\"", 2)).body,
            R"({"model":"m","prompt":"one, \"two\""})");
  EXPECT_TRUE(std::holds_alternative<NoQuestion>(parser.parse("b,\"first", 3)));
  EXPECT_TRUE(std::holds_alternative<NoQuestion>(parser.parse("", 4)));
  const Question question = std::get<Question>(parser.parse("last\"", 5));
  EXPECT_EQ(question.key, "b");
  EXPECT_EQ(question.body, R"({"model":"m","prompt":"first\n\nlast"})");
  EXPECT_FALSE(parser.finish());
}

TEST(QuestionParser, RefusesBrokenCsv) {
  {
    QuestionParser parser("q.csv", column("prompt"));
    const auto parsed = parser.parse("id,text", 1);
    EXPECT_THAT(std::get<BadLine>(parsed).sentence,
                HasSubstr("no column 'prompt'; there are: id, text"));
  }
  QuestionParser parser("q.csv", column("text"));
  parser.parse("id,text", 1);
  const auto parsed = parser.parse("a,b,c", 2);
  EXPECT_THAT(std::get<BadLine>(parsed).sentence, HasSubstr("q.csv:2: 3 fields, the header has 2"));
  const auto latin = parser.parse("a,caf\xe9", 3);
  EXPECT_THAT(std::get<BadLine>(latin).sentence, HasSubstr("q.csv:3: not UTF-8"));
  parser.parse("a,\"open", 4);
  ASSERT_TRUE(parser.finish());
  EXPECT_THAT(parser.finish()->sentence, HasSubstr("q.csv:4: a quoted field"));
}

TEST(Csv, HasFields) {
  EXPECT_THAT(*csv_fields("a,,\"b,\"\"c\""), ElementsAre("a", "", "b,\"c"));
  EXPECT_THAT(*csv_fields(""), ElementsAre(""));
  EXPECT_FALSE(csv_fields("a,\"b"));
}

TEST(Question, BeginsWithItsPrompt) {
  const Question question{"k", "/p", R"({"model":"m","temperature":0,"prompt":"P"})", false};
  EXPECT_EQ(question.beginning(), R"("prompt":"P"})");
}

TEST(QuestionParser, TellsTheLabelAndHowManyOptionsThereAre) {
  QuestionParser parser("q.jsonl", {});
  const auto parsed = parser.parse(R"({"question":"q","options":["(A) x","(B) y"],"label":"B"})", 1);
  EXPECT_EQ(std::get<Question>(parsed).label, "B");
  EXPECT_EQ(std::get<Question>(parsed).options, 2u);
  const auto unknown = parser.parse(R"({"question":"q","options":["x","y","z"],"label":2})", 2);
  EXPECT_EQ(std::get<Question>(unknown).label, "");
  EXPECT_EQ(std::get<Question>(unknown).options, 3u);
}

}  // namespace
}  // namespace batchproxy
