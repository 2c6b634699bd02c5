// tests/proxy/condition_test.cc - how a backend fares, and what waiting requests wait for.
#include "proxy/metrics/condition.h"

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/metrics/snapshot.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;

BackendSnapshot engine(std::string name, double p50) {
  BackendSnapshot made;
  made.name = std::move(name);
  made.state = BackendState::kReady;
  made.models = "m";
  made.room = 10;
  made.trend.answers = 100;
  made.trend.p50 = p50;
  return made;
}

Snapshot four() {
  Snapshot now;
  now.flush = "eager";
  for (const char* name : {"a", "b", "c", "d"}) now.backends.push_back(engine(name, 0.5));
  return now;
}

TEST(Condition, IsFineWhereAllAreAlike) {
  Snapshot now = four();
  judge(now);
  for (const BackendSnapshot& backend : now.backends) {
    EXPECT_EQ(backend.condition, Condition::kFine);
    EXPECT_EQ(backend.remark, "");
  }
}

TEST(Condition, NamesTheSlowOne) {
  Snapshot now = four();
  now.backends[2].trend.p50 = 3;
  judge(now);
  EXPECT_EQ(now.backends[2].condition, Condition::kSlow);
  EXPECT_EQ(now.backends[2].slow.get(), 1u);
  EXPECT_EQ(now.backends[2].remark, "half of its answers take 3.0 s, those of others 500 ms");
  EXPECT_EQ(now.backends[1].condition, Condition::kFine);
}

TEST(Condition, NamesOneThatIsTooSlowToHaveAnswered) {
  Snapshot now = four();
  now.backends[2].trend.answers = 0;
  now.backends[2].trend.p50 = 0;
  now.backends[2].oldest = 40;
  judge(now);
  EXPECT_EQ(now.backends[2].condition, Condition::kSlow);
  EXPECT_THAT(now.backends[2].remark, HasSubstr("has taken 40 s so far"));
}

TEST(Condition, ComparesOnlyThoseThatServeTheSame) {
  Snapshot now = four();
  now.backends[2].trend.p50 = 3;
  now.backends[2].models = "a larger one";
  judge(now);
  EXPECT_EQ(now.backends[2].condition, Condition::kFine);
}

TEST(Condition, MindsNoDifferenceThatNobodyFeels) {
  Snapshot now = four();
  for (BackendSnapshot& backend : now.backends) backend.trend.p50 = 0.01;
  now.backends[2].trend.p50 = 0.09;
  judge(now);
  EXPECT_EQ(now.backends[2].condition, Condition::kFine);
}

TEST(Condition, NamesOneThatIsQuietBeforeItCountsAsStuck) {
  Snapshot now = four();
  now.backends[1].trend.p95 = 2;
  now.backends[1].inflight = 10;
  now.backends[1].quiet = 6;
  judge(now);
  EXPECT_EQ(now.backends[1].condition, Condition::kFine) << "its answers may take that long";
  now.backends[1].quiet = 7;
  judge(now);
  EXPECT_EQ(now.backends[1].condition, Condition::kQuiet);
  EXPECT_EQ(now.backends[1].remark, "10 prompts without a byte for 7 s");
  now.backends[1].state = BackendState::kUnready;
  now.backends[1].problem = "GET /health: no answer in time";
  judge(now);
  EXPECT_EQ(now.backends[1].remark,
            "GET /health: no answer in time; 10 prompts without a byte for 7 s");
}

TEST(Condition, NamesTheHungOne) {
  Snapshot now = four();
  now.backends[1].stuck = 1;
  now.backends[1].inflight = 10;
  now.backends[1].quiet = 31.2;
  now.backends[1].breaker_open = 1;
  judge(now);
  EXPECT_EQ(now.backends[1].condition, Condition::kStuck);
  EXPECT_EQ(now.backends[1].remark, "10 prompts without a byte for 31 s");
  now.backends[1].inflight = 0;
  now.backends[1].last_problem = LastProblem{"it stood still", 5};
  judge(now);
  EXPECT_EQ(now.backends[1].remark, "it stood still") << "others have answered in its place";
}

TEST(Condition, SaysWhyAnEngineThatHasEndedDid) {
  Snapshot now = four();
  for (BackendSnapshot& backend : now.backends) {
    backend.problem = "it has ended";
    backend.last_problem = LastProblem{"it did not start: ssh ended with exit code 255", 2};
  }
  now.backends[0].state = BackendState::kRestarting;
  now.backends[1].state = BackendState::kFailed;
  now.backends[2].state = BackendState::kStarting;  // again: that was before
  now.backends[2].doing = "loads weights";
  judge(now);
  EXPECT_EQ(now.backends[0].condition, Condition::kLoading);
  EXPECT_EQ(now.backends[0].remark, "it did not start: ssh ended with exit code 255");
  EXPECT_EQ(now.backends[1].condition, Condition::kDown);
  EXPECT_EQ(now.backends[1].remark, "it did not start: ssh ended with exit code 255");
  EXPECT_EQ(now.backends[2].remark, "loads weights");
}

TEST(Condition, SaysWhatAnEngineIsWaitedForThatIsToEnd) {
  Snapshot now = four();
  now.backends[0].state = BackendState::kRestarting;
  now.backends[1].state = BackendState::kStopping;
  for (BackendSnapshot& backend : now.backends) backend.doing = "waits for its agent on n1";
  judge(now);
  EXPECT_EQ(now.backends[0].remark, "waits for its agent on n1");
  EXPECT_EQ(now.backends[1].condition, Condition::kStopping);
  EXPECT_EQ(now.backends[1].remark, "waits for its agent on n1");
}

TEST(Condition, IsNotFineWhileItsAgentIsSilent) {
  Snapshot now = four();
  for (BackendSnapshot& backend : now.backends) {
    backend.silence = "its agent on n1 has not answered for 7 s";
  }
  now.backends[1].state = BackendState::kUnready;
  now.backends[1].problem = "connection refused";
  now.backends[2].breaker_open = 1;
  now.backends[3].state = BackendState::kStarting;
  now.backends[3].doing = "loads weights";
  judge(now);
  EXPECT_EQ(now.backends[0].condition, Condition::kUntended);
  EXPECT_EQ(to_string(now.backends[0].condition), "untended");
  EXPECT_EQ(now.backends[0].remark, "its agent on n1 has not answered for 7 s");
  EXPECT_EQ(now.backends[1].condition, Condition::kDown);
  EXPECT_EQ(now.backends[1].remark, "connection refused; its agent on n1 has not answered for 7 s");
  EXPECT_EQ(now.backends[2].condition, Condition::kFailing);
  EXPECT_EQ(now.backends[3].remark, "loads weights; its agent on n1 has not answered for 7 s");
}

TEST(Condition, FollowsFromTheStateOfOneThatIsNotReady) {
  Snapshot now = four();
  now.backends[0].state = BackendState::kStarting;
  now.backends[0].doing = "loads weights";
  now.backends[1].state = BackendState::kFailed;
  now.backends[1].problem = "it has ended";
  now.backends[2].state = BackendState::kPaused;
  now.backends[3].breaker_open = 1;
  judge(now);
  EXPECT_EQ(now.backends[0].condition, Condition::kLoading);
  EXPECT_EQ(now.backends[0].remark, "loads weights");
  EXPECT_EQ(now.backends[1].condition, Condition::kDown);
  EXPECT_EQ(now.backends[1].remark, "it has ended");
  EXPECT_EQ(now.backends[2].condition, Condition::kPaused);
  EXPECT_EQ(now.backends[3].condition, Condition::kFailing);
}

TEST(Condition, SaysOfOneThatWasStoppedHowToHaveItBack) {
  Snapshot now = four();
  now.backends[1].state = BackendState::kStopped;
  now.backends[1].last_problem = LastProblem{"an old story", 600};
  judge(now);
  EXPECT_EQ(now.backends[1].condition, Condition::kStopped);
  EXPECT_EQ(to_string(now.backends[1].condition), "stopped");
  EXPECT_EQ(now.backends[1].remark, "by an order; `batchproxy engines start b` starts it");
  now.backends[1].doing = "its agent on n1 does not answer, so the engine may still run there";
  judge(now);
  EXPECT_EQ(now.backends[1].remark,
            "its agent on n1 does not answer, so the engine may still run there; `batchproxy "
            "engines start b` starts it");
}

// What requests wait for, as the lane says it.
std::string told(WaitsFor reason, BackendState state = BackendState::kReady) {
  Snapshot now = four();
  now.queued = 3;
  now.waits_for = reason;
  for (BackendSnapshot& backend : now.backends) backend.state = state;
  judge(now);
  return now.waiting_for;
}

TEST(WaitingFor, SaysEachReasonInOtherWords) {
  std::set<std::string> all;
  for (const WaitsFor reason : kAll<WaitsFor>) {
    EXPECT_TRUE(all.insert(told(reason)).second) << told(reason);
  }
  EXPECT_EQ(told(WaitsFor::kNothing), "") << "it is on its way";
  EXPECT_EQ(told(WaitsFor::kModel), "a backend that serves their model");
  EXPECT_THAT(told(WaitsFor::kRoom), HasSubstr("room: the ready backends have as many"));
  EXPECT_THAT(told(WaitsFor::kRampUp), HasSubstr("room: backends that have just come back"));
  EXPECT_EQ(told(WaitsFor::kBatch), "a batch to fill");
}

TEST(WaitingFor, SaysWhetherABackendIsOnItsWay) {
  EXPECT_EQ(told(WaitsFor::kBackend, BackendState::kStarting), "an engine that loads");
  EXPECT_EQ(told(WaitsFor::kBackend, BackendState::kUnready), "a backend: none is ready");
  EXPECT_EQ(told(WaitsFor::kBackend), "a backend: none that serves their model is ready");
}

TEST(WaitingFor, SaysNothingWhileNothingWaits) {
  Snapshot now = four();
  now.waits_for = WaitsFor::kRoom;
  judge(now);
  EXPECT_EQ(now.waiting_for, "");
}

}  // namespace
}  // namespace batchproxy
