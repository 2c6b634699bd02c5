// tests/bench/statistics_test.cc - figures of requests: quantiles, windows, goodput, thresholds.
#include "bench/results/statistics.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/load/arrivals.h"
#include "bench/results/summary.h"
#include "bench/results/threshold.h"

namespace batchproxy::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RequestResult answered(double due, double end) {
  RequestResult result;
  result.due = result.sent = due;
  result.end = end;
  result.status = 200;
  return result;
}

RequestResult failed(double due, double end, const std::string& problem) {
  RequestResult result = answered(due, end);
  result.problem = problem;
  result.detail = "because of " + problem;
  return result;
}

Summary summary_of(const std::vector<RequestResult>& requests, Window window,
                   const std::vector<Objective>& objectives = {}) {
  const Stretch stretch{requests, window};
  return summarise({&stretch, 1}, objectives);
}

template <class Act>
std::string refusal_of(Act act) {
  try {
    act();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing was refused";
}

// --- quantiles ----------------------------------------------------------------------------------

TEST(Quantile, IsAValueThatOccurred) {
  EXPECT_EQ(quantile({}, 0.5), 0);
  EXPECT_EQ(quantile({1, 2, 3, 4}, 0.5), 2);
  EXPECT_EQ(quantile({1, 2, 3, 4}, 0.99), 4);
}

TEST(Distribution, TellsMeanSpreadAndQuantiles) {
  std::vector<double> values;
  for (int i = 1000; i > 0; --i) values.push_back(i);
  const Distribution all = distribution_of(values);
  EXPECT_EQ(all.count, 1000u);
  EXPECT_DOUBLE_EQ(all.mean, 500.5);
  EXPECT_NEAR(all.deviation, 288.67, 0.01);
  EXPECT_EQ(all.median(), 500);
  EXPECT_EQ(*figure_of(all, "p99"), 990);
  EXPECT_EQ(*figure_of(all, "p99.9"), 999);
  EXPECT_EQ(*figure_of(all, "max"), 1000);
  EXPECT_EQ(figure_of(all, "p42"), nullptr);
  EXPECT_EQ(distribution_of({}).count, 0u);
}

// --- summaries ----------------------------------------------------------------------------------

TEST(Summary, CountsWhatWasDueInTheWindow) {
  const std::vector<RequestResult> requests{answered(0, 1), answered(2, 3), answered(4, 9),
                                            failed(5, 6, "503 no_backend"), answered(9.5, 9.9)};
  const Summary summary = summary_of(requests, {2, 8});
  EXPECT_EQ(summary.asked, 3u);
  EXPECT_EQ(summary.answered, 2u);
  EXPECT_EQ(summary.left_out, 2u);
  EXPECT_EQ(summary.failures.at("503 no_backend").count, 1u);
  EXPECT_EQ(summary.failures.at("503 no_backend").example, "because of 503 no_backend");
  // Of the answers only one has ended within the six seconds.
  EXPECT_DOUBLE_EQ(summary.per_second, 1.0 / 6);
  EXPECT_EQ(summary[Latency::kE2el].most, 5);
}

TEST(Summary, CountsLatenciesFromWhenARequestWasDue) {
  RequestResult late = answered(1, 4);
  late.sent = 3;  // the client was not free before
  EXPECT_EQ(summary_of({late}, {0, 10})[Latency::kE2el].most, 3);
}

// It answers in a millisecond, but for a second in every ten, in which it answers nobody.
double when_stalling_server_answers(double asked) {
  const double in_its_turn = std::fmod(asked, 10);
  return in_its_turn < 1 ? asked - in_its_turn + 1 : asked + 0.001;
}

TEST(Summary, SeesAServerThatStallsInAnOpenLoop) {
  std::vector<RequestResult> open, closed;
  ArrivalTimes arrivals(Arrivals::kConstant, 100, 1);
  for (double due = 0; due < 100; due = arrivals.next()) {
    open.push_back(answered(due, when_stalling_server_answers(due)));
  }
  for (double asked = 0; asked < 100; asked = closed.back().end) {
    closed.push_back(answered(asked, when_stalling_server_answers(asked)));
  }
  EXPECT_NEAR(*figure_of(summary_of(open, {0, 100})[Latency::kE2el], "p99"), 0.9, 0.02);
  EXPECT_NEAR(*figure_of(summary_of(closed, {0, 100})[Latency::kE2el], "p99"), 0.001, 1e-6);
}

TEST(Summary, TellsTokensOfStreamsOnly) {
  RequestResult stream = answered(0, 2);
  stream.first = 0.5;
  stream.output_tokens = 4;
  stream.gaps = {0.25F, 0.25F, 1.0F};
  const Summary summary = summary_of({stream, answered(0, 2)}, {0, 2});
  EXPECT_EQ(summary[Latency::kTtft].count, 1u);
  EXPECT_DOUBLE_EQ(summary[Latency::kTtft].mean, 0.5);
  EXPECT_DOUBLE_EQ(summary[Latency::kTpot].mean, 0.5);
  EXPECT_EQ(summary[Latency::kItl].count, 3u);
  EXPECT_EQ(summary[Latency::kItl].most, 1);
  EXPECT_EQ(summary.rate(summary.output_tokens), 2);
}

TEST(Summary, SharesAndMarks) {
  RequestResult right = answered(0, 1);
  right.backend = "engine-0";
  right.mark = Mark::kRight;
  RequestResult wrong = answered(0, 1);
  wrong.backend = "engine-1";
  wrong.mark = Mark::kWrong;
  RequestResult other = answered(0, 1);
  other.id = IdCheck::kOther;
  const Summary summary = summary_of({right, wrong, other, right}, {0, 1});
  EXPECT_EQ(summary.share.at("engine-0"), 0.5);
  EXPECT_EQ(summary.share.at("direct"), 0.25);
  EXPECT_EQ(summary.marked, 3u);
  EXPECT_EQ(summary.right, 2u);
  EXPECT_EQ(summary.ids_wrong, 1u);
}

TEST(Summary, JoinsRepeats) {
  const std::vector<RequestResult> first{answered(0, 1)};
  const std::vector<RequestResult> second{answered(0, 3), answered(1, 2)};
  const Stretch stretches[] = {{first, {0, 1}}, {second, {0, 3}}};
  const Summary summary = summarise(stretches, {});
  EXPECT_EQ(summary.asked, 3u);
  EXPECT_DOUBLE_EQ(summary.per_second, 3.0 / 4);
}

TEST(Goodput, CountsAnswersThatKeepToAllObjectives) {
  RequestResult slow_start = answered(0, 1);
  slow_start.first = 0.4;
  const std::vector<RequestResult> requests{slow_start, answered(0, 1), answered(0, 3),
                                            failed(0, 1, "reset")};
  const std::vector<Objective> objectives{parse_objective("ttft:200"),
                                          parse_objective("e2el:2000")};
  EXPECT_DOUBLE_EQ(*summary_of(requests, {0, 4}, objectives).good, 0.25);
  EXPECT_FALSE(summary_of(requests, {0, 4}).good);
}

TEST(Objective, SaysHowToWriteOne) {
  for (const char* wrong : {"ttft", "ttft:", "ttft:-1", "speed:5", "itl:5", "e2el:2s"}) {
    EXPECT_THAT(refusal_of([&] { parse_objective(wrong); }), HasSubstr("ttft:MS")) << wrong;
  }
}

TEST(Cut, IsInSecondsOrAShare) {
  EXPECT_EQ(parse_cut("5s").of(100), 5);
  EXPECT_EQ(parse_cut("5").of(100), 5);
  EXPECT_EQ(parse_cut("10%").of(50), 5);
  for (const char* wrong : {"", "x", "-1s", "100%", "5m"}) {
    EXPECT_THAT(refusal_of([&] { parse_cut(wrong); }), HasSubstr("neither seconds")) << wrong;
  }
  const Window window = window_of(20, parse_cut("2s"), parse_cut("10%"));
  EXPECT_EQ(window.begin, 2);
  EXPECT_EQ(window.end, 18);
  EXPECT_EQ(window_of(1, parse_cut("5s"), parse_cut("5s")).seconds(), 0);
}

// --- thresholds ---------------------------------------------------------------------------------

Summary example() {
  std::vector<RequestResult> requests;
  for (int i = 0; i < 99; ++i) requests.push_back(answered(0, 1));
  requests.push_back(failed(0, 1, "refused"));
  return summary_of(requests, {0, 10});
}

bool keeps(const std::string& threshold) {
  const Threshold parsed = parse_threshold(threshold);
  return judge({&parsed, 1}, example()).front().kept;
}

TEST(Threshold, IsKeptOrMissed) {
  EXPECT_TRUE(keeps("e2el.p99<2s"));
  EXPECT_FALSE(keeps("e2el.p99<1s"));
  EXPECT_TRUE(keeps("e2el.p99<=1s"));
  EXPECT_TRUE(keeps("e2el.p99 <= 1000ms"));
  EXPECT_TRUE(keeps("failed<2%"));
  EXPECT_FALSE(keeps("failed<1%"));
  EXPECT_TRUE(keeps("questions_per_second>9.8"));
  EXPECT_FALSE(keeps("questions_per_second>=10"));
}

TEST(Threshold, IsMissedWhereThereIsNoSuchFigure) {
  const Threshold threshold = parse_threshold("ttft.p50<1s");
  const auto verdicts = judge({&threshold, 1}, example());
  EXPECT_FALSE(verdicts.front().kept);
  EXPECT_THAT(to_text(std::span<const Verdict>(verdicts)),
              HasSubstr("✗ ttft.p50<1s (this run has no such figure)"));
}

TEST(Threshold, ShowsTheValue) {
  const Threshold thresholds[] = {parse_threshold("e2el.p99<2s"), parse_threshold("failed<0.5%")};
  EXPECT_EQ(to_text(std::span<const Verdict>(judge(thresholds, example()))),
            "✓ e2el.p99<2s (1.00 s)\n✗ failed<0.5% (1.00 %)\n");
}

TEST(Threshold, SaysWhatThereIs) {
  EXPECT_THAT(refusal_of([] { parse_threshold("faild<1%"); }), HasSubstr("did you mean 'failed'?"));
  EXPECT_THAT(refusal_of([] { parse_threshold("e2el.p42<1s"); }), HasSubstr("p99.9"));
  for (const char* wrong : {"e2el.p99", "e2el.p99<", "e2el.p99<fast"}) {
    EXPECT_THAT(refusal_of([&] { parse_threshold(wrong); }), HasSubstr("such as 'e2el.p99<2s'"));
  }
}

}  // namespace
}  // namespace batchproxy::bench
