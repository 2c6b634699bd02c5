// tests/bench/sweep_test.cc - which settings a sweep tries, what it keeps, and which it calls best.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/page/sweep_page.h"
#include "bench/sweep/sweep_log.h"

namespace batchproxy::bench {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

SweepAxes axes() {
  return {{8, 32}, {"eager", "fixed"}, {"auto"}, {8, 16}, {0.05, 0.5}};
}

SweepPoint point(const Setting& setting, std::size_t repeat, double per_second, double failed = 0) {
  SweepPoint made;
  made.setting = setting;
  made.repeat = repeat;
  made.per_second = per_second;
  made.p50 = 0.1;
  made.p99 = 0.2;
  made.failed = failed;
  return made;
}

const Setting kEager{32, "eager", "auto", 16, 0.5};
const Setting kFixed{32, "fixed", "auto", 16, 0.5};
const Setting kAlways{32, "eager", "always", 16, 0.5};

// --- what is tried ------------------------------------------------------------------------------

TEST(SettingsOf, VariesSizesAndTimeOutsOnlyWhereTheyMatter) {
  EXPECT_EQ(settings_of(axes()).size(), 2u + 2 * 2 * 2);  // eager by workers; fixed by all three
  SweepAxes merging = axes();
  merging.flush = {"eager"};
  merging.merge = {"off", "always"};
  EXPECT_EQ(settings_of(merging).size(), 2u + 2 * 2 * 2);
}

TEST(SettingsOf, NamesNothingTwice) {
  SweepAxes twice = axes();
  twice.workers = {8, 8};
  twice.flush = {"eager", "eager"};
  EXPECT_EQ(settings_of(twice).size(), 1u);
}

TEST(SettingWords, AreThoseOfTheConfiguration) {
  EXPECT_EQ(words_of(kEager), "eager");
  EXPECT_EQ(words_of(kFixed), "fixed, 16 or 0.5 s");
  EXPECT_EQ(words_of(kAlways), "eager, 16 or 0.5 s, merge always");
  EXPECT_EQ(query_of(kFixed),
            "enable_batching=true&flush=fixed&merge=auto&batch_size=16&batch_timeout=0.5");
  EXPECT_EQ(
      yaml_of(kFixed),
      "batch_size: 16\nbatch_timeout: 0.5\nparallel_workers: 32\nbatchproxy:\n  flush: fixed\n"
      "  merge: auto\n");
  EXPECT_THAT(yaml_of({32, "eager", "off", 16, 0.5}), HasSubstr("merge: \"off\""));  // not false
  EXPECT_EQ(yaml_of(kEager), "parallel_workers: 32\nbatchproxy:\n  flush: eager\n  merge: auto\n");
}

// --- what is kept -------------------------------------------------------------------------------

TEST(SweepLogLines, ReadBackWhatTheyTell) {
  SweepLog log;
  log.subject = "some questions";
  log.facts = {{"model", "m"}};
  SweepPoint made = point(kFixed, 2, 12.5, 0.25);
  made.fill = 7.5;
  const SweepLog read = read_sweep(head_line(log) + to_line(made), "s.jsonl");
  EXPECT_EQ(read.subject, "some questions");
  EXPECT_EQ(read.facts, log.facts);
  ASSERT_EQ(read.points.size(), 1u);
  EXPECT_EQ(read.points[0].setting, kFixed);
  EXPECT_EQ(read.points[0].repeat, 2u);
  EXPECT_EQ(read.points[0].per_second, 12.5);
  EXPECT_EQ(*read.points[0].fill, 7.5);
  EXPECT_FALSE(read.points[0].prefix_share);
  EXPECT_TRUE(read.has(kFixed, 2));
  EXPECT_FALSE(read.has(kFixed, 1));
  EXPECT_FALSE(read.has(kEager, 2));
}

TEST(SweepLogLines, LeaveOutOneThatWasCutOff) {
  const std::string whole = head_line({}) + to_line(point(kEager, 0, 1));
  const SweepLog read = read_sweep(whole.substr(0, whole.size() - 1), "s.jsonl");
  EXPECT_THAT(read.points, IsEmpty());
  EXPECT_EQ(read.bytes, head_line({}).size());
  EXPECT_EQ(read_sweep(whole, "s.jsonl").bytes, whole.size());
  EXPECT_THAT(read_sweep("", "s.jsonl").points, IsEmpty());
}

TEST(SweepLogLines, NameTheLineThatIsNone) {
  try {
    read_sweep(head_line({}) + "{}\n", "s.jsonl");
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("s.jsonl:2: this is no line of a sweep"));
  }
}

// --- which is best ------------------------------------------------------------------------------

SweepLog log_of(const std::vector<SweepPoint>& points) {
  SweepLog log;
  log.facts = {{"engines", "2 simulated"}};
  log.points = points;
  return log;
}

TEST(BestOf, HasTheMostQuestionsASecond) {
  const auto rows =
      rows_of(log_of({point(kEager, 0, 10), point(kFixed, 0, 12), point(kEager, 1, 11)}));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].mean, 10.5);
  EXPECT_EQ(rows[0].deviation, 0.5);
  EXPECT_EQ(best_of(rows)->setting, kFixed);
  EXPECT_EQ(best_of({}), nullptr);
}

TEST(BestOf, IsNoneThatFails) {
  const auto rows = rows_of(log_of({point(kEager, 0, 10), point(kFixed, 0, 50, 0.02)}));
  EXPECT_EQ(best_of(rows)->setting, kEager);
  const auto all_fail = rows_of(log_of({point(kEager, 0, 10, 0.5), point(kFixed, 0, 50, 0.5)}));
  EXPECT_EQ(best_of(all_fail)->setting, kFixed);
}

TEST(AsGoodAs, GoesByChanceWhereThereAreEnoughRepeats) {
  std::vector<SweepPoint> points;
  for (std::size_t i = 0; i < 5; ++i) {
    const auto noise = static_cast<double>(i);
    points.push_back(point(kEager, i, 100 + noise));
    points.push_back(point(kFixed, i, 99.5 + noise));
    points.push_back(point(kAlways, i, 90 + noise));
  }
  const auto rows = rows_of(log_of(points));
  const auto alike = as_good_as(*best_of(rows), rows);
  ASSERT_EQ(alike.size(), 1u);
  EXPECT_EQ(alike[0]->setting, kFixed);
}

TEST(AsGoodAs, TakesTwoPercentForNothingWhereThereAreFew) {
  const auto rows =
      rows_of(log_of({point(kEager, 0, 100), point(kFixed, 0, 98.5), point(kAlways, 0, 97)}));
  const auto alike = as_good_as(*best_of(rows), rows);
  ASSERT_EQ(alike.size(), 1u);
  EXPECT_EQ(alike[0]->setting, kFixed);
}

TEST(SweepText, EndsInWhatToConfigure) {
  const std::string text = to_text(log_of({point(kEager, 0, 10), point(kFixed, 0, 12)}));
  EXPECT_THAT(text, AllOf(HasSubstr("* fixed, 16 or 0.5 s"), HasSubstr("  eager"),
                          HasSubstr("flush: fixed\n")));
  EXPECT_EQ(to_text(log_of({})), "nothing was measured\n");
}

TEST(SweepPage, DrawsHeatMaps) {
  std::vector<SweepPoint> points;
  double rate = 10;
  for (const Setting& setting : settings_of(axes())) points.push_back(point(setting, 0, ++rate));
  const std::string page = sweep_page(log_of(points));
  EXPECT_THAT(page, AllOf(HasSubstr("Simulated engines: a sweep"), HasSubstr("batch_timeout"),
                          HasSubstr("fixed, merge auto, 32 workers: q/s"), HasSubstr(" best\"")));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
  EXPECT_THAT(sweep_page(log_of({})), HasSubstr("nothing was measured"));
}

}  // namespace
}  // namespace batchproxy::bench
