// tests/bench/answer_reader_test.cc - answers as they come: whole, in events, and wrong ones.
#include "bench/load/answer_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/load/live_line.h"

namespace batchproxy::bench {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Not;

TEST(ReadAnswer, TakesTextAndUsage) {
  const AnswerText completion = read_answer(
      200, R"({"choices":[{"text":" B"}],"usage":{"prompt_tokens":12,"completion_tokens":1}})");
  EXPECT_EQ(completion.text, " B");
  EXPECT_EQ(completion.prompt_tokens, 12);
  EXPECT_EQ(completion.output_tokens, 1);
  EXPECT_EQ(completion.problem, "");
  EXPECT_EQ(read_answer(200, R"({"choices":[{"message":{"content":"hi"}}]})").text, "hi");
  EXPECT_EQ(read_answer(200, R"({"data":[]})").problem, "");  // embeddings
}

TEST(ReadAnswer, NamesErrorsByCode) {
  const AnswerText coded =
      read_answer(503, R"({"error":{"message":"nobody is up","type":"x","code":"no_backend"}})");
  EXPECT_EQ(coded.problem, "503 no_backend");
  EXPECT_EQ(coded.detail, "nobody is up");
  EXPECT_EQ(read_answer(400, R"({"error":{"message":"m","type":"BadRequest","code":400}})").problem,
            "400 BadRequest");
  EXPECT_EQ(read_answer(400, R"({"object":"error","message":"old","type":"Bad"})").problem,
            "400 Bad");
  const AnswerText bare = read_answer(502, "<html>");
  EXPECT_EQ(bare.problem, "502");
  EXPECT_EQ(bare.detail, "<html>");
}

TEST(ReadAnswer, DoesNotTakeAPageForAnAnswer) {
  EXPECT_EQ(read_answer(200, "<html>hello</html>").problem, "garbage");
  EXPECT_EQ(read_answer(200, "").problem, "garbage");
}

constexpr std::string_view kFirst = "data: {\"choices\":[{\"text\":\"one\"}]}\n\n";
constexpr std::string_view kSecond = "data: {\"choices\":[{\"text\":\" two\"}]}\n\n";
constexpr std::string_view kUsage =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
constexpr std::string_view kDone = "data: [DONE]\n\n";

TEST(StreamReader, TimesTokens) {
  StreamReader reader;
  reader.take("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
              0.5);
  reader.take(kFirst, 1);
  reader.take(kSecond, 1.25);
  reader.take(kUsage, 1.3);
  reader.take(kDone, 1.4);
  EXPECT_EQ(reader.first(), 1);
  EXPECT_THAT(reader.gaps(), ElementsAre(FloatNear(0.25F, 1e-6F)));
  const AnswerText answer = reader.finish();
  EXPECT_EQ(answer.text, "one two");
  EXPECT_EQ(answer.output_tokens, 2);
  EXPECT_EQ(answer.problem, "");
}

TEST(StreamReader, SaysTheSameHoweverTheBytesAreCut) {
  const std::string whole =
      std::string(kFirst) + std::string(kSecond) + std::string(kUsage) + std::string(kDone);
  for (std::size_t cut = 1; cut < whole.size(); ++cut) {
    StreamReader reader;
    for (std::size_t at = 0; at < whole.size(); at += cut)
      reader.take(std::string_view(whole).substr(at, cut), 1);
    const AnswerText answer = reader.finish();
    ASSERT_EQ(answer.text, "one two") << cut;
    ASSERT_EQ(answer.problem, "") << cut;
  }
}

TEST(StreamReader, SeesAnEndThatIsNone) {
  StreamReader cut;
  cut.take(kFirst, 1);
  EXPECT_EQ(cut.finish().problem, "cut");
  StreamReader failed;
  failed.take(kFirst, 1);
  failed.take("data: {\"error\":{\"message\":\"lost\",\"code\":\"backend_lost\"}}\n\n", 2);
  const AnswerText answer = failed.finish();
  EXPECT_EQ(answer.problem, "error_event backend_lost");
  EXPECT_EQ(answer.detail, "lost");
}

// --- the live line ------------------------------------------------------------------------------

RequestResult answer_at(double due, double end) {
  RequestResult result;
  result.due = due;
  result.end = end;
  result.status = 200;
  return result;
}

TEST(LiveLine, TellsTheLastSeconds) {
  LiveLine line(100);
  for (int i = 0; i < 20; ++i) line.add(answer_at(0, 1));  // slow, and long ago
  for (int i = 0; i < 10; ++i) line.add(answer_at(9.5, 9.75));
  EXPECT_EQ(line.line(10, 7),
            "10 s · 30 of 100 answered · 2.0/s · p50 250 ms, p99 250 ms · 7 in flight");
  RequestResult failed = answer_at(9, 10);
  failed.problem = "refused";
  line.add(failed);
  EXPECT_THAT(line.line(10, 0), HasSubstr("· 1 failed"));
  EXPECT_THAT(line.line(100, 0), Not(HasSubstr("p50")));  // nothing of late
}

}  // namespace
}  // namespace batchproxy::bench
