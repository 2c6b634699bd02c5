// tests/bench/bench_test.cc - what batchproxy-bench asks, scores and computes.
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/call/http_client.h"
#include "bench/load/questions.h"
#include "bench/load/report.h"
#include "bench/load/scrape.h"

namespace batchproxy::bench {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Questions, TheDemosAreWellFormed) {
  const auto questions = load_questions(BATCHPROXY_SOURCE_DIR "/configs/questions.jsonl");
  EXPECT_GE(questions.size(), 120u);
  std::set<std::string> passages;
  for (const Question& question : questions) {
    passages.insert(question.passage);
    ASSERT_EQ(question.label.size(), 1u);
    EXPECT_LT(static_cast<std::size_t>(question.label[0] - 'A'), question.options.size());
  }
  EXPECT_GE(passages.size(), 20u);
}

TEST(Questions, AreAskedWithTheSaltInFrontOfEverythingShared) {
  const Question question{"P", "Q", {"(A) x", "(B) y"}, "A"};
  EXPECT_EQ(prompt_of(question, ""), "Context:\nP\n\nQuestion:\nQ\n(A) x\n(B) y\nAnswer:");
  EXPECT_THAT(prompt_of(question, "run 2"), StartsWith("run 2\nContext:"));
}

TEST(Questions, NameTheLineAtFault) {
  const std::string file = testing::TempDir() + "/broken.jsonl";
  std::ofstream(file) << R"({"question":"q","options":["(A) a"],"label":"A"})" << "\n{\n";
  try {
    load_questions(file);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("broken.jsonl:2"));
  }
}

TEST(ChosenLetter, TakesTheFirstThatStandsAlone) {
  EXPECT_EQ(chosen_letter(" B", 4), 'B');
  EXPECT_EQ(chosen_letter("(C) because", 4), 'C');
  EXPECT_EQ(chosen_letter("Answer: D.", 4), 'D');
  EXPECT_EQ(chosen_letter("Because", 4), '\0');
  EXPECT_EQ(chosen_letter("E", 4), '\0');
  EXPECT_EQ(chosen_letter("", 4), '\0');
}

TEST(Quantile, IsAValueThatOccurred) {
  EXPECT_EQ(quantile({}, 0.5), 0);
  EXPECT_EQ(quantile({1, 2, 3, 4}, 0.5), 2);
  EXPECT_EQ(quantile({1, 2, 3, 4}, 0.99), 4);
}

TEST(Report, CountsAnswersAccuracyAndFailures) {
  const std::vector<Question> questions{{"", "q", {"(A) x", "(B) y"}, "B"}};
  LoadResult result;
  result.seconds = 2;
  result.outcomes = {{0, 200, " B", "engine-0", 0.1},
                     {0, 200, " A", "engine-1", 0.3},
                     {0, 503, "no", "", 0.2},
                     {0, 0, "reset", "", 0.2}};
  const Report report = summarise(questions, result);
  EXPECT_EQ(report.asked, 4u);
  EXPECT_EQ(report.answered, 2u);
  EXPECT_EQ(report.correct, 1u);
  EXPECT_EQ(report.per_second, 1);
  EXPECT_EQ(report.share.at("engine-0"), 0.5);
  EXPECT_EQ(report.failures.at(503), 1u);
  EXPECT_EQ(report.failures.at(0), 1u);
}

TEST(SumOf, AddsAllSamplesOfAMetricAndNoOthers) {
  constexpr std::string_view text =
      "# HELP a_total x\na_total{engine=\"0\"} 1.5\na_total{engine=\"1\"} 2\na_total_more 9\na 7\n";
  EXPECT_EQ(sum_of(text, "a_total"), 3.5);
  EXPECT_EQ(sum_of(text, "b"), 0);
}

TEST(ParseUrl, TakesWhatUsersPaste) {
  EXPECT_EQ(parse_url("http://a:1/v1").port, "1");
  EXPECT_EQ(parse_url("http://a:1/").host, "a");
  EXPECT_THROW(parse_url("a:1"), std::runtime_error);
}

}  // namespace
}  // namespace batchproxy::bench
