// tests/bench/record_test.cc - results as they are kept, compared and shown.
#include "bench/results/record.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/page/chart.h"
#include "bench/page/report_page.h"
#include "bench/results/comparison.h"
#include "bench/results/text.h"

namespace batchproxy::bench {
namespace {

namespace json = boost::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// Answers of about `latency` seconds, one behind the other in four lines.
Repeat repeat_of(double latency, std::uint64_t seed, std::size_t requests = 400) {
  std::mt19937_64 random(seed);
  Repeat repeat;
  std::array<double, 4> free{};
  for (std::size_t i = 0; i < requests; ++i) {
    RequestResult result;
    result.question = i;
    result.due = result.sent = free[i % 4];
    result.end = result.due + latency * (0.9 + 0.2 * static_cast<double>(random() % 1000) / 1000);
    result.status = 200;
    result.backend = "engine-" + std::to_string(i % 2);
    result.answer = " <A> & \"b\"";
    result.prompt_tokens = 100;
    result.output_tokens = 2;
    result.mark = i % 4 == 0 ? Mark::kRight : Mark::kWrong;
    free[i % 4] = result.end;
    repeat.seconds = std::max(repeat.seconds, result.end);
    repeat.requests.push_back(result);
  }
  repeat.window = {0, repeat.seconds};
  repeat.client_cpu = 0.01;
  repeat.most_in_flight = 4;
  return repeat;
}

Record record_of(double latency, std::size_t repeats = 1, std::uint64_t seed = 1) {
  Record record;
  record.facts = {{"model", "a/b"}, {"engines", "2 simulated"}};
  record.date = "20261130-014500";
  record.model = "a/b";
  record.endpoint = "openai";
  record.load = "closed loop, 4 workers";
  record.workers = 4;
  record.objectives = {{Latency::kE2el, 1}};
  for (std::size_t i = 0; i < repeats; ++i) record.repeats.push_back(repeat_of(latency, seed + i));
  return record;
}

constexpr std::string_view kMetrics =
    "batchproxy_batches_total{reason=\"room\"} 4\nbatchproxy_batches_total{reason=\"full\"} 1\n"
    "batchproxy_batch_prompts_bucket{le=\"1\"} 2\nbatchproxy_batch_prompts_bucket{le=\"4\"} 5\n"
    "batchproxy_batch_prompts_bucket{le=\"+Inf\"} 5\nbatchproxy_batch_prompts_sum 14\n"
    "batchproxy_batch_prompts_count 5\nbatchproxy_merged_calls_total 2\n";

// --- what a proxy counts ------------------------------------------------------------------------

TEST(SumOf, AddsAllSamplesOfAMetricAndNoOthers) {
  constexpr std::string_view text =
      "# HELP a_total x\na_total{engine=\"0\"} 1.5\na_total{engine=\"1\"} 2\na_total_more 9\na 7\n";
  EXPECT_EQ(sum_of(text, "a_total"), 3.5);
  EXPECT_EQ(sum_of(text, "b"), 0);
}

TEST(FleetCounts, AreReadFromMetrics) {
  FleetCounts counts = proxy_counts(kMetrics);
  EXPECT_EQ(counts.flushes.at("room"), 4);
  EXPECT_EQ(*counts.mean_fill(), 2.8);
  ASSERT_EQ(counts.fill.size(), 3u);
  EXPECT_EQ(counts.fill[1].most, 4);
  EXPECT_EQ(counts.fill[1].count, 3);
  EXPECT_FALSE(counts.prefix_share());
  EXPECT_FALSE(add_engine_counts("up 1\n", counts));
  EXPECT_TRUE(add_engine_counts(
      "vllm:prefix_cache_queries_total{a=\"b\"} 10\nvllm:prefix_cache_hits_total{a=\"b\"} 4\n",
      counts));
  EXPECT_EQ(*counts.prefix_share(), 0.4);
}

TEST(FleetCounts, TellWhatWasCountedBetweenTwoLooks) {
  const FleetCounts before = proxy_counts(kMetrics);
  FleetCounts after = before;
  after.flushes["room"] += 3;
  after.fill[1].count += 3;
  after.batches += 3;
  after.batch_prompts += 9;
  const FleetCounts between = difference(after, before);
  EXPECT_EQ(between.flushes.at("room"), 3);
  EXPECT_EQ(between.flushes.at("full"), 0);
  EXPECT_EQ(between.fill[1].count, 3);
  EXPECT_EQ(*between.mean_fill(), 3);
}

// --- kept ---------------------------------------------------------------------------------------

TEST(Record, HasTheWordsOfVllmBenchServe) {
  const json::value root = json::parse(to_json(record_of(0.1)));
  for (const char* name : {"date",
                           "endpoint_type",
                           "model_id",
                           "num_prompts",
                           "request_rate",
                           "max_concurrency",
                           "duration",
                           "completed",
                           "failed",
                           "total_input_tokens",
                           "total_output_tokens",
                           "request_throughput",
                           "request_goodput",
                           "output_throughput",
                           "total_token_throughput",
                           "max_concurrent_requests",
                           "mean_e2el_ms",
                           "median_e2el_ms",
                           "std_e2el_ms",
                           "p50_e2el_ms",
                           "p90_e2el_ms",
                           "p95_e2el_ms",
                           "p99_e2el_ms",
                           "p99.9_e2el_ms"}) {
    EXPECT_TRUE(root.as_object().contains(name)) << name;
  }
  EXPECT_FALSE(root.as_object().contains("mean_ttft_ms"));  // nothing was streamed
  EXPECT_EQ(root.at("completed").to_number<int>(), 400);
  EXPECT_EQ(root.at("request_rate"), "inf");
}

TEST(Record, ReadsBackWhatItWrote) {
  Record record = record_of(0.1, 2);
  record.repeats[0].counts = proxy_counts(kMetrics);
  record.repeats[1].requests[3].problem = "503 no_backend";
  record.repeats[1].requests[3].detail = "nobody";
  record.repeats[0].requests[0].first = 0.05;
  record.repeats[0].requests[0].gaps = {0.01F, 0.02F};
  const Record read = read_record(to_json(record), "a.json");
  const Summary before = summarise(record), after = summarise(read);
  EXPECT_EQ(after.asked, before.asked);
  EXPECT_EQ(after.failures.at("503 no_backend").example, "nobody");
  EXPECT_NEAR(after.per_second, before.per_second, 1e-3);
  EXPECT_NEAR(*after.good, *before.good, 1e-3);
  EXPECT_EQ(after.share, before.share);
  EXPECT_EQ(after.right, before.right);
  EXPECT_NEAR(after[Latency::kE2el].mean, before[Latency::kE2el].mean, 1e-5);
  EXPECT_NEAR(after[Latency::kItl].mean, 0.015, 1e-5);
  EXPECT_EQ(counts_of(read)->batch_prompts, 14);
  EXPECT_TRUE(std::isinf(counts_of(read)->fill.back().most));
  EXPECT_EQ(read.facts.size(), 2u);
  EXPECT_EQ(read.workers, 4u);
}

TEST(Record, SaysWhatIsWrongWithAFile) {
  const auto refusal = [](const std::string& text) {
    try {
      read_record(text, "a.json");
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string("nothing was refused");
  };
  EXPECT_THAT(refusal("{"), HasSubstr("a.json: it is not JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("a.json: "));
  EXPECT_THAT(refusal(R"({"duration": 3})"), HasSubstr("no result of `batchproxy-bench run`"));
  std::string cut = to_json(record_of(0.1));
  cut.replace(cut.find("\"mark\":["), 8, "\"mark\":[1,");
  EXPECT_THAT(refusal(cut), HasSubstr("\"mark\" has 401 requests, others have 400"));
}

TEST(Record, WritesALineForEachRequest) {
  Record record = record_of(0.1);
  record.repeats[0].requests.resize(2);
  record.repeats[0].requests[1].problem = "refused";
  record.repeats[0].requests[1].detail = "nobody listens";
  const std::string lines = to_lines(record);
  EXPECT_EQ(std::ranges::count(lines, '\n'), 2);
  const json::value first = json::parse(lines.substr(0, lines.find('\n')));
  EXPECT_EQ(first.at("answer"), " <A> & \"b\"");
  EXPECT_TRUE(first.at("right").as_bool());
  EXPECT_THAT(lines.substr(lines.find('\n')), HasSubstr("nobody listens"));
}

// --- for people ---------------------------------------------------------------------------------

TEST(ResultText, TellsWhatThereIs) {
  Record record = record_of(0.1);
  record.repeats[0].counts = proxy_counts(kMetrics);
  record.repeats[0].requests[3].problem = "503 no_backend";
  record.repeats[0].requests[3].detail = "line\nbreak";
  const std::string text = to_text(record);
  EXPECT_THAT(text, AllOf(HasSubstr("answered    399/400"), HasSubstr("model       a/b"),
                          HasSubstr("batches     5 of 2.8 prompts; left: full 1, room 4"),
                          HasSubstr("failed      1 × 503 no_backend: line\\nbreak"),
                          HasSubstr("25.1 % as scored"), HasSubstr("engine-0 50 %")));
  EXPECT_THAT(text, Not(HasSubstr("prefix hits")));
  EXPECT_THAT(text, Not(HasSubstr("warning")));
}

TEST(ResultText, WarnsWhenTheClientWasBusyItself) {
  Record record = record_of(0.1);
  record.repeats[0].client_cpu = 0.9 * record.repeats[0].seconds;
  EXPECT_THAT(to_text(record), HasSubstr("this program itself took most of a core"));
}

TEST(TimeWords, HaveThreeDigits) {
  EXPECT_EQ(time_words(0.00042), "0.42 ms");
  EXPECT_EQ(time_words(0.0123), "12.3 ms");
  EXPECT_EQ(time_words(0.345), "345 ms");
  EXPECT_EQ(time_words(1.234), "1.23 s");
  EXPECT_EQ(time_words(12.34), "12.3 s");
  EXPECT_EQ(time_words(123.4), "123 s");
}

// --- compared -----------------------------------------------------------------------------------

TEST(PermutationTest, TriesAllDealingsWhenTheyAreFew) {
  // Of the 70 ways to deal 4 and 4, two are as far apart as these.
  EXPECT_DOUBLE_EQ(permutation_p({1, 2, 3, 4}, {11, 12, 13, 14}), 2.0 / 70);
  EXPECT_EQ(permutation_p({1, 2}, {1, 2}), 1);
  EXPECT_EQ(permutation_p({}, {1, 2}), 1);
  EXPECT_EQ(permutation_p({5}, {5}), 1);
}

// If both sides are alike, p is below 0.05 in a twentieth of all cases, and not in more.
TEST(PermutationTest, CallsChanceRealAsRarelyAsItSays) {
  std::mt19937_64 random(1);
  const auto values = [&] {
    std::vector<double> some;
    for (int i = 0; i < 20; ++i) some.push_back(static_cast<double>(random() % 1000));
    return some;
  };
  int real = 0;
  for (int i = 0; i < 100; ++i) real += permutation_p(values(), values()) < 0.05 ? 1 : 0;
  EXPECT_LE(real, 12);
  EXPECT_GE(real, 1);
}

const FigureChange& change_of(const Comparison& comparison, const std::string& figure) {
  const auto found = std::ranges::find(comparison.changes, figure, &FigureChange::figure);
  if (found == comparison.changes.end()) throw std::runtime_error("no figure " + figure);
  return *found;
}

TEST(Compare, SeesADifferenceAndNoneWhereThereIsNone) {
  const Comparison slower = compare(record_of(0.1), record_of(0.12, 1, 50));
  EXPECT_NEAR(*change_of(slower, "questions/s").relative(), -0.167, 0.02);
  EXPECT_LT(change_of(slower, "questions/s").p, 0.05);
  EXPECT_THAT(to_text(slower), AllOf(HasSubstr("worse"), HasSubstr("20 and 20 slices of time")));
  const Comparison same = compare(record_of(0.1), record_of(0.1, 1, 50));
  EXPECT_GT(change_of(same, "questions/s").p, 0.05);
  EXPECT_THAT(to_text(same), HasSubstr("within the noise"));
}

TEST(Compare, GoesByRepeatsWhereThereAreEnough) {
  EXPECT_EQ(compare(record_of(0.1, 5), record_of(0.1, 4)).parts, "5 and 4 repeats");
  EXPECT_THAT(compare(record_of(0.1, 5), record_of(0.1, 3)).parts, HasSubstr("slices of time"));
}

TEST(Compare, NamesWhatElseDiffers) {
  Record other = record_of(0.1);
  other.facts[0].second = "c/d";
  EXPECT_THAT(compare(record_of(0.1), other).differences, ElementsAre("model: a/b | c/d"));
}

TEST(Compare, WarnsOfRunsThatWereNotAskedTheSame) {
  Record first = record_of(0.1);
  first.facts = {{"model", "a/b"}, {"questions", "3"}, {"load", "8 workers"}, {"machine", "x"}};
  Record second = first;
  second.facts[3].second = "y";
  EXPECT_THAT(compare(first, second).unlike, IsEmpty());
  EXPECT_THAT(to_text(compare(first, second)), Not(HasSubstr("warning")));
  for (int i = 0; i < 3; ++i) second.facts[static_cast<std::size_t>(i)].second += " more";
  EXPECT_THAT(compare(first, second).unlike, ElementsAre("model", "questions", "load"));
  EXPECT_THAT(to_text(compare(first, second)),
              StartsWith("warning: the runs are unlike (model, questions, load): "));
}

TEST(Compare, WarnsOfCachesThatHeldOther) {
  Record first = record_of(0.1);
  first.repeats.front().counts = FleetCounts{.prefix_queries = 100, .prefix_hits = 49};
  Record second = first;
  second.repeats.front().counts->prefix_hits = 55;
  EXPECT_THAT(compare(first, second).unlike, IsEmpty());
  second.repeats.front().counts->prefix_hits = 93;
  EXPECT_THAT(compare(first, second).unlike, ElementsAre("prefix hits"));
  EXPECT_THAT(compare(first, second).differences,
              ElementsAre(HasSubstr("prefix hits: 49 % | 93 %")));
  // Of an engine that has begun anew meanwhile nothing is known.
  second.repeats.front().counts->prefix_hits = -10;
  EXPECT_THAT(compare(first, second).unlike, IsEmpty());
}

// --- drawn --------------------------------------------------------------------------------------

TEST(Ticks, AreRoundAndReachBothEnds) {
  EXPECT_THAT(ticks_between(0, 10, 5), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(ticks_between(0, 97, 5), ElementsAre(0, 20, 40, 60, 80, 100));
  EXPECT_GE(ticks_between(0, 0, 5).size(), 2u);
  EXPECT_THAT(logarithmic_ticks(1, 1000, 4), ElementsAre(1, 10, 100, 1000));
  EXPECT_EQ(tick_words(20'000), "20k");
  EXPECT_EQ(tick_words(0.1 + 0.2), "0.3");
}

TEST(OverTime, CountsWhatEndedInEachPart) {
  const Repeat repeat = repeat_of(0.1, 1);
  const auto points = throughput_over_time(repeat, 10);
  double sum = 0;
  for (const auto& [at, rate] : points) sum += rate * repeat.seconds / 10;
  EXPECT_NEAR(sum, 400, 1e-6);
  double share = 0;
  for (const auto& [ms, percent] : latency_histogram(record_of(0.1), 40)) {
    share += percent;
    EXPECT_GT(ms, 85);
    EXPECT_LT(ms, 115);
  }
  EXPECT_NEAR(share, 100, 1e-6);
}

TEST(ReportPage, IsOneFileThatLoadsNothing) {
  Record record = record_of(0.1);
  record.facts.emplace_back("command", "run --salt '<script>alert(1)</script>'");
  record.repeats[0].counts = proxy_counts(kMetrics);
  const std::string page = report_page({{"", record}});
  EXPECT_THAT(page, AllOf(HasSubstr("<svg"), HasSubstr("Simulated engines: a/b"),
                          HasSubstr("prefers-color-scheme:dark"), HasSubstr("@media print"),
                          HasSubstr("Why batches left"), HasSubstr("Answers by engine")));
  for (const char* never : {"<script", "http://", "https://", "src=", "@import", "nan", "inf\""}) {
    EXPECT_THAT(page, Not(HasSubstr(never)));
  }
}

TEST(ReportPage, ShowsRunsSideBySide) {
  const std::string page = report_page({{"before", record_of(0.1)}, {"after", record_of(0.2)}});
  EXPECT_THAT(page,
              AllOf(HasSubstr(">before<"), HasSubstr(">after<"), HasSubstr("Permutation test")));
}

TEST(ReportPage, OfNothingIsStillAPage) {
  Record record = record_of(0.1);
  record.repeats[0].requests.clear();
  EXPECT_THAT(report_page({{"", record}}), HasSubstr("no data"));
}

TEST(HeatMapDrawing, FramesTheBestAndLeavesGaps) {
  HeatMap map;
  map.title = "q/s";
  map.columns = {"8", "16"};
  map.rows = {"eager"};
  map.cells = {{10.0, std::nullopt}};
  EXPECT_THAT(draw(map, 600), AllOf(HasSubstr("best"), HasSubstr("heat none")));
}

}  // namespace
}  // namespace batchproxy::bench
