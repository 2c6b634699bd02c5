// tests/proxy/failure_digest_test.cc - which engines that fail share a sentence, and when it comes.
#include "proxy/terminal/failure_digest.h"

#include <algorithm>
#include <chrono>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using Names = std::vector<std::string>;

class FailureDigestTest : public testing::Test {
 protected:
  // As it ends without a cause that its log tells.
  static EngineFailure end_of(const std::string& reason, const std::string& node = "",
                              std::vector<std::string> log = {}) {
    return {.how = "ended 0 s after its start: " + reason,
            .reason = reason,
            .node = node,
            .last_lines = std::move(log)};
  }
  static EngineFailure diagnosed(Cause cause, const std::string& evidence) {
    return {.how = "exit code 1",
            .reason = "exit code 1",
            .cause = cause,
            .findings = {"cause: out of memory", "log: " + evidence},
            .evidence = evidence};
  }

  std::vector<std::string> fail(int engine, const EngineFailure& failure,
                                const Names& starting = {},
                                std::optional<Duration> next = Duration(1s)) {
    return texts(
        digest_.on_failed("engine-" + std::to_string(engine), failure, next, starting, now_));
  }
  std::vector<std::string> end(int engine, const EngineFailure& failure, const Names& others = {},
                               std::optional<Duration> next = Duration(1s)) {
    const std::string name = "engine-" + std::to_string(engine);
    return texts(digest_.on_ended(name, failure, "logs/" + name + ".log", next, others, now_));
  }
  std::vector<std::string> tick(Duration later) {
    now_ += later;
    return texts(digest_.on_tick(now_));
  }
  static std::vector<std::string> texts(const Lines& lines) {
    std::vector<std::string> texts;
    for (const Line& line : lines) texts.push_back(line.text);
    return texts;
  }

  TimePoint now_{};
  FailureDigest digest_;
};

TEST_F(FailureDigestTest, TellsOneThatFailsAloneAtOnceAndItsDetailsOnce) {
  const EngineFailure failure = end_of("exit code 1", "", {"no disk", "no ink"});
  EXPECT_THAT(fail(0, failure),
              ElementsAre("engine-0 did not start: ended 0 s after its start: exit code 1. It is "
                          "started again in 1.0 s",
                          "  | no disk", "  | no ink"));
  EXPECT_THAT(fail(0, failure, {}, std::nullopt),
              ElementsAre("engine-0 did not start, as before. It is not started again, after 2 "
                          "tries"));
}

TEST_F(FailureDigestTest, TellsAFaultThatAllShareOnce) {
  const EngineFailure failure = end_of("srun: no such partition");
  EXPECT_THAT(fail(0, failure, {"engine-1", "engine-2", "engine-3"}), IsEmpty());
  EXPECT_THAT(fail(1, failure, {"engine-0", "engine-2", "engine-3"}), IsEmpty());
  EXPECT_THAT(fail(2, failure, {"engine-0", "engine-1", "engine-3"}), IsEmpty());
  EXPECT_THAT(fail(3, failure, {"engine-0", "engine-1", "engine-2"}),
              ElementsAre("engine-0, engine-1 and 2 more did not start: ended 0 s after its start: "
                          "srun: no such partition. They are started again in 1.0 s"));
}

TEST_F(FailureDigestTest, NamesTheNodesOfThoseWhoseNamesAreCutShortAndTheLastStartOfSeveral) {
  EngineFailure failure = end_of("no route");
  for (int engine = 0; engine < 4; ++engine) {
    failure.node = engine < 2 ? "n1" : "n2";
    const Lines lines =
        digest_.on_failed("engine-" + std::to_string(engine), failure, (engine + 1) * 1000ms,
                          engine < 3 ? Names{"engine-3"} : Names{}, now_);
    if (engine < 3) continue;
    EXPECT_THAT(
        texts(lines),
        ElementsAre("engine-0, engine-1 and 2 more on n1 and n2 did not start: ended 0 s after "
                    "its start: no route. They are started again within 4.0 s"));
  }
}

TEST_F(FailureDigestTest, WaitsForOthersNoLongerThanAWhile) {
  EXPECT_THAT(fail(0, end_of("no ink"), {"engine-1"}), IsEmpty());
  EXPECT_THAT(tick(1s), IsEmpty());
  EXPECT_THAT(tick(1s), ElementsAre("engine-0 did not start: ended 0 s after its start: no ink. It "
                                    "is started again now"));
  EXPECT_THAT(fail(1, end_of("no ink")),
              ElementsAre("engine-1 did not start either, for the same reason as engine-0. It is "
                          "started again in 1.0 s"));
}

TEST_F(FailureDigestTest, WaitsForOthersNoLongerThanUntilItsNextStart) {
  fail(0, end_of("no ink", "", {"a line"}), {"engine-1"}, 800ms);
  now_ += 800ms;
  EXPECT_THAT(texts(digest_.on_starting("engine-1", now_)), IsEmpty());
  EXPECT_THAT(texts(digest_.on_starting("engine-0", now_)),
              ElementsAre(HasSubstr("It is started again now"), "  | a line"));
  EXPECT_THAT(tick(10s), IsEmpty()) << "it is told";
}

// Four engines that start half a second apart and fail at once, each five times.
TEST_F(FailureDigestTest, TellsAFaultThatAllShareOnceThoughTheyFailApart) {
  const Names all{"engine-0", "engine-1", "engine-2", "engine-3"};
  std::map<Duration, std::vector<int>> starts;  // at what times who starts again and fails
  for (int engine = 0; engine < 4; ++engine) {
    Duration at = engine * 500ms;
    for (const Duration pause : {0s, 1s, 2s, 4s, 8s}) starts[at += pause].push_back(engine);
  }
  std::vector<std::string> told;
  const auto hear = [&told](const std::vector<std::string>& lines) {
    told.insert(told.end(), lines.begin(), lines.end());
  };
  std::map<int, int> tries;
  const TimePoint begin = now_;
  for (Duration at = 0s; at <= 30s; at += 500ms) {
    now_ = begin + at;
    if (at % 1s == 0s) hear(tick(0s));
    for (const int engine : starts[at]) {
      const std::string name = "engine-" + std::to_string(engine);
      hear(texts(digest_.on_starting(name, now_)));
      Names others = all;
      std::erase(others, name);
      const int tried = ++tries[engine];
      const auto next = tried < 5 ? std::optional<Duration>(1s * (1 << (tried - 1))) : std::nullopt;
      hear(fail(engine, end_of("no ink", "", {"a line", "[pid " + std::to_string(tried) + "]"}),
                others, next));
    }
  }
  EXPECT_EQ(std::ranges::count(told, "  | a line"), 1) << testing::PrintToString(told);
  EXPECT_EQ(std::ranges::count_if(told, [](const auto& line) { return line.starts_with("  | "); }),
            2);
  EXPECT_LE(told.size(), 8u) << testing::PrintToString(told);
  EXPECT_THAT(told.back(), HasSubstr("not started again, after 5 tries"));
  EXPECT_THAT(told, testing::Not(testing::Contains(HasSubstr(" 0.0 s"))));
}

TEST_F(FailureDigestTest, NamesWhoIsNewAndWhoIsNot) {
  const EngineFailure failure = end_of("no ink");
  fail(0, failure);
  fail(0, failure, {"engine-1", "engine-2"}, 2s);
  fail(2, failure, {"engine-0", "engine-1"}, 2s);
  EXPECT_THAT(fail(1, failure, {"engine-0", "engine-2"}, 2s),
              ElementsAre("engine-1 and engine-2 did not start either, for the same reason as "
                          "engine-0, which failed again. They are started again in 2.0 s"));
  EXPECT_THAT(fail(3, failure),
              ElementsAre(HasSubstr("for the same reason as engine-0, engine-1 and engine-2. ")));
}

TEST_F(FailureDigestTest, GathersWhatWasToldBeforeForLonger) {
  const EngineFailure failure = end_of("no ink");
  fail(0, failure, {"engine-1"});
  fail(1, failure, {"engine-0"});
  EXPECT_THAT(fail(1, failure, {"engine-0"}, 2s), IsEmpty());
  EXPECT_THAT(texts(digest_.on_starting("engine-1", now_ + 2s)), IsEmpty()) << "no news";
  EXPECT_THAT(tick(4s), IsEmpty());
  EXPECT_THAT(fail(0, failure, {"engine-1"}, 4s),
              ElementsAre("engine-0 and engine-1 did not start, as before (try 2). They are "
                          "started again within 4.0 s"));
}

TEST_F(FailureDigestTest, TellsAnEngineThatFailsOnceMoreBeforeThatIsToldOnce) {
  EXPECT_THAT(fail(0, end_of("no ink"), {"engine-1"}), IsEmpty());
  EXPECT_THAT(fail(0, end_of("no ink"), {"engine-1"}), IsEmpty());
  EXPECT_THAT(texts(digest_.tell_all(now_)), SizeIs(1));
}

TEST_F(FailureDigestTest, LeavesOutThatOneFailedOnceMoreThatIsUpByNow) {
  fail(0, end_of("no ink"));
  fail(1, end_of("no ink"));
  EXPECT_THAT(fail(0, end_of("no ink"), {"engine-1"}), IsEmpty());
  digest_.on_up("engine-0");
  EXPECT_THAT(tick(10s), IsEmpty());
}

TEST_F(FailureDigestTest, TellsEnginesThatDifferApart) {
  fail(0, end_of("no ink"), {"engine-1", "engine-2", "engine-3"});
  fail(1, end_of("no paper"), {"engine-2", "engine-3"});
  fail(2, end_of("no ink", "", {"[pid 17] burst"}), {"engine-3"});
  EXPECT_THAT(fail(3, end_of("no ink", "", {"[pid 9999] burst"})),
              ElementsAre(HasSubstr("engine-0 did not start"), HasSubstr("engine-1 did not start"),
                          HasSubstr("engine-2 and engine-3 did not start"), "  | [pid 17] burst"))
      << "figures of a log are no difference";
}

TEST_F(FailureDigestTest, TakesNamesOfEnginesAndNodesForNoDifference) {
  fail(0, end_of("engine-0: `vllm` was not found (on n1)", "n1"), {"engine-1", "engine-2"});
  fail(1, end_of("engine-1: `vllm` was not found (on n1)", "n1"), {"engine-2"});
  EXPECT_THAT(fail(2, end_of("engine-2: `vllm` was not found (on n2)", "n2")),
              ElementsAre(HasSubstr("engine-0 (n1), engine-1 (n1) and engine-2 (n2) did not start: "
                                    "ended 0 s after its start: engine-0: `vllm`")));
}

TEST_F(FailureDigestTest, ComparesCausesWhereTheyAreKnown) {
  fail(0, diagnosed(Cause::kOomLoad, "GPU 0"), {"engine-1", "engine-2"});
  fail(1, diagnosed(Cause::kOomLoad, "GPU 1"), {"engine-2"});
  EXPECT_THAT(
      fail(2, diagnosed(Cause::kOomGraphs, "GPU 2")),
      ElementsAre(HasSubstr("engine-0 and engine-1 did not start"), "  | cause: out of memory",
                  "  | log: GPU 0", HasSubstr("engine-2 did not start"), "  | cause: out of memory",
                  "  | log: GPU 2"));
}

TEST_F(FailureDigestTest, TellsARepairThatIsAnotherThanBefore) {
  EngineFailure failure = diagnosed(Cause::kOomLoad, "GPU 0");
  failure.findings.emplace_back("repair: 8192 -> 4096");
  fail(0, failure);
  failure.findings.back() = "repair: 4096 -> 2048";
  EXPECT_THAT(fail(0, failure), ElementsAre(HasSubstr("engine-0 did not start, as before (try 2)"),
                                            "  | repair: 4096 -> 2048"));
  EXPECT_THAT(fail(1, failure), SizeIs(1)) << "of engine-0 that has been told";
}

TEST_F(FailureDigestTest, TellsWhatIsNewOfEachThatFailsAlike) {
  EngineFailure failure = diagnosed(Cause::kOomLoad, "GPU 0");
  fail(0, failure, {"engine-1"});
  failure.how = failure.reason = "killed by SIGKILL";
  failure.findings.emplace_back("log: 3 processes were killed");
  EXPECT_THAT(
      fail(1, failure),
      ElementsAre(HasSubstr("engine-0 and engine-1 did not start: exit code 1."),
                  "  | cause: out of memory", "  | log: GPU 0", "  | engine-1: killed by SIGKILL",
                  "  | engine-1: log: 3 processes were killed"));
}

TEST_F(FailureDigestTest, TellsOnceOfEnginesThatEndTogether) {
  const EngineFailure lost{.how = "lost (on n1)", .reason = "lost (on n1)", .node = "n1"};
  EXPECT_THAT(end(0, lost, {"engine-1", "engine-2"}), IsEmpty());
  EXPECT_THAT(end(1, lost, {"engine-2"}), IsEmpty());
  EXPECT_THAT(tick(1s), ElementsAre("engine-0 and engine-1 have ended: lost (on n1). They are "
                                    "started again now. The log of engine-0 is logs/engine-0.log"));
  EXPECT_THAT(end(2, lost, {}, std::nullopt),
              ElementsAre("engine-2 has ended, too: lost (on n1). It is not started again. Its log "
                          "is logs/engine-2.log"));
}

TEST_F(FailureDigestTest, TellsAnEndBeforeTheNextStartAndItsFindings) {
  EXPECT_THAT(end(0, diagnosed(Cause::kOomLoad, "GPU 0"), {"engine-1"}), IsEmpty());
  EXPECT_THAT(texts(digest_.on_starting("engine-0", now_)),
              ElementsAre(HasSubstr("engine-0 has ended: exit code 1. "),
                          "  | cause: out of memory", "  | log: GPU 0"));
  EXPECT_THAT(fail(0, diagnosed(Cause::kOomLoad, "GPU 0")), SizeIs(3)) << "another kind of end";
}

TEST_F(FailureDigestTest, SaysWhoIsStartedAgain) {
  fail(0, end_of("no ink"), {"engine-1", "engine-2"});
  fail(1, end_of("no ink"), {"engine-2"}, Duration(3s));
  EXPECT_THAT(
      fail(2, end_of("no ink"), {}, std::nullopt),
      ElementsAre(HasSubstr("engine-0, engine-1 and engine-2 did not start: ended 0 s after "
                            "its start: no ink. 2 of them are started again, and 1 is not")));
}

TEST_F(FailureDigestTest, SaysOnceWhatACarrierHasSaid) {
  const EngineFailure failure =
      end_of("ssh ended with exit code 255: refused", "",
             {"=== batchproxy: engine-0, run 1 ===", "[placement] Welcome to n1",
              "[placement] refused", "[placement] ssh ended with exit code 255: refused"});
  EXPECT_THAT(fail(0, failure),
              ElementsAre(HasSubstr("engine-0 did not start"), "  | [placement] Welcome to n1"));
}

TEST_F(FailureDigestTest, SaysWhoStaysDownBehindItsFailure) {
  EXPECT_THAT(fail(10, end_of("no ink"), {"engine-9"}, std::nullopt), IsEmpty());
  EXPECT_THAT(digest_.on_lost("engine-10"), IsEmpty());
  fail(9, end_of("no ink"), {"engine-0"}, std::nullopt);
  EXPECT_THAT(digest_.on_lost("engine-9"), IsEmpty());
  EXPECT_THAT(
      tick(2s),
      ElementsAre(HasSubstr("engine-9 and engine-10 did not start: "),
                  HasSubstr("engine-9 and engine-10 stay down, and are not started again")));
  EXPECT_THAT(texts(digest_.on_lost("engine-1")),
              ElementsAre(HasSubstr("Start it: `batchproxy engines start engine-1`")));
}

TEST_F(FailureDigestTest, TellsAllAnewOfOneThatWasUp) {
  const EngineFailure failure = end_of("no ink", "", {"a line"});
  EXPECT_THAT(fail(0, failure), SizeIs(2));
  EXPECT_THAT(fail(0, failure), SizeIs(1));
  digest_.on_up("engine-0");
  EXPECT_THAT(fail(0, failure), SizeIs(2));
}

TEST_F(FailureDigestTest, TellsADelayThatSeveralHaveOnce) {
  const std::string text = "waits for its agent on n1: ssh still runs (pid 17)";
  digest_.on_delay("engine-0", text, now_);
  EXPECT_THAT(tick(500ms), IsEmpty());
  digest_.on_delay("engine-1", "waits for its agent on n2: ssh still runs (pid 18)", now_);
  EXPECT_THAT(tick(500ms),
              ElementsAre("engine-0 and engine-1: engine-0 " + text + "; the other likewise"));
  digest_.on_delay("engine-0", text, now_);
  EXPECT_THAT(tick(1s), IsEmpty()) << "it waits for the same at its next start";
  digest_.on_delay("engine-0", text, now_);
  digest_.on_delay("engine-2", text, now_);
  EXPECT_THAT(tick(1s), ElementsAre("engine-2 " + text));
  digest_.on_up("engine-0");
  digest_.on_delay("engine-0", text, now_);
  EXPECT_THAT(tick(1s), ElementsAre("engine-0 " + text));
}

}  // namespace
}  // namespace batchproxy
