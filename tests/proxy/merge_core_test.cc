// tests/proxy/merge_core_test.cc - MergeCore: who is asked for with whom, and who is told what.
#include "proxy/request/merge_core.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using Do = MergeCore::Do;
using Group = MergeCore::Group;

constexpr TimePoint kNow = TimePoint() + 1h;

// Members whose deadlines are a second apart, the leader's first.
std::vector<MergeCore::MemberFacts> members(std::uint32_t count) {
  std::vector<MergeCore::MemberFacts> made;
  for (std::uint32_t i = 0; i < count; ++i) made.push_back({.deadline = kNow + 10s + i * 1s});
  return made;
}

class MergeCoreTest : public testing::Test {
 protected:
  // All of the group are told.
  void tell_group() {
    for (const MergeCore::Member member : core_.group()) EXPECT_TRUE(core_.tell(member));
  }
  // The group gets its answer; what comes next.
  Do serve_group() {
    const bool alone = core_.group().size() == 1;
    EXPECT_EQ(core_.on_answer(200, false), alone ? Do::kShare : Do::kUnpack);
    if (!alone) {
      EXPECT_EQ(core_.on_unpacked(true), Do::kHandOut);
    }
    tell_group();
    return core_.go_on();
  }

  MergeCore core_{members(4), BackendSet::first(2)};
};

TEST_F(MergeCoreTest, AllGoOutTogetherAndEachGetsItsPart) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  EXPECT_EQ(core_.group(), (Group{0, 1, 2, 3}));
  EXPECT_EQ(core_.deadline(), kNow + 10s) << "the most impatient member's";
  EXPECT_EQ(serve_group(), Do::kEnd);
}

TEST_F(MergeCoreTest, WhoeverDoesNotFitIsCalledForAlone) {
  auto some = members(3);
  some[1].fits = false;
  MergeCore core(some, {});
  ASSERT_EQ(core.go_on(), Do::kCall);
  EXPECT_EQ(core.group(), (Group{0, 2}));
  core.on_answer(503, false);
  ASSERT_EQ(core.go_on(), Do::kCall);
  EXPECT_EQ(core.group(), Group{1});
  EXPECT_EQ(core.on_answer(400, false), Do::kShare);
  EXPECT_EQ(core.go_on(), Do::kEnd);
}

TEST_F(MergeCoreTest, ARefusalIsHalvedUntilTheGuiltyIsAlone) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  EXPECT_EQ(core_.on_answer(400, false), Do::kHalve);
  ASSERT_EQ(core_.go_on(), Do::kCall);
  EXPECT_EQ(core_.group(), (Group{0, 1}));
  ASSERT_EQ(serve_group(), Do::kCall);
  EXPECT_EQ(core_.group(), (Group{2, 3}));
  EXPECT_EQ(core_.on_answer(422, false), Do::kHalve);
  ASSERT_EQ(core_.go_on(), Do::kCall);
  EXPECT_EQ(core_.group(), Group{2});
  ASSERT_EQ(serve_group(), Do::kCall);
  EXPECT_EQ(core_.group(), Group{3});
  EXPECT_EQ(core_.on_answer(422, false), Do::kShare);
  tell_group();
  EXPECT_EQ(core_.go_on(), Do::kEnd);
}

TEST_F(MergeCoreTest, AnErrorThatIsNotAboutOneIsEverybodys) {
  for (const unsigned status : {401u, 404u, 429u, 503u}) {
    MergeCore core(members(2), {});
    ASSERT_EQ(core.go_on(), Do::kCall);
    EXPECT_EQ(core.on_answer(status, false), Do::kShare) << status;
  }
}

TEST_F(MergeCoreTest, ADeadEnginesLastWordsAreEverybodys) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  EXPECT_EQ(core_.on_answer(500, /*says_dead=*/true), Do::kShare);
}

TEST_F(MergeCoreTest, AnAnswerThatCannotBeTakenApartSendsEachAlone) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  ASSERT_EQ(core_.on_answer(200, false), Do::kUnpack);
  EXPECT_EQ(core_.on_unpacked(false), Do::kScatter);
  for (int left = 4; left > 0; --left) {
    ASSERT_EQ(core_.go_on(), Do::kCall);
    EXPECT_EQ(core_.group().size(), 1u);
    ASSERT_EQ(core_.on_answer(200, false), Do::kShare);
    tell_group();
  }
  EXPECT_EQ(core_.go_on(), Do::kEnd);
}

TEST_F(MergeCoreTest, AGroupThatHasLeftIsNotCalledFor) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  core_.on_answer(400, false);
  core_.on_left(0);
  core_.on_left(1);
  ASSERT_EQ(core_.go_on(), Do::kFail);
  EXPECT_EQ(core_.group(), (Group{0, 1}));
  EXPECT_EQ(core_.failure(), CallFailure::kAborted);
  tell_group();
  EXPECT_EQ(core_.go_on(), Do::kCall);
  EXPECT_EQ(core_.group(), (Group{2, 3}));
}

TEST_F(MergeCoreTest, ACallIsWantedUntilItsLastMemberHasLeft) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  for (const MergeCore::Member member : {0u, 1u, 2u}) core_.on_left(member);
  EXPECT_TRUE(core_.is_wanted());
  core_.on_left(3);
  EXPECT_FALSE(core_.is_wanted());
}

TEST_F(MergeCoreTest, ALostCallIsItsGroupsAlone) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  core_.on_answer(400, false);
  ASSERT_EQ(core_.go_on(), Do::kCall);
  EXPECT_EQ(core_.on_failed(CallFailure::kNoAnswer, kNow), Do::kFail);
  EXPECT_EQ(core_.group(), (Group{0, 1}));
  tell_group();
  EXPECT_EQ(core_.go_on(), Do::kCall);
}

TEST_F(MergeCoreTest, AnEngineThatHangsIsNotAskedForTheNextGroup) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  core_.on_answer(400, false);
  ASSERT_EQ(core_.go_on(), Do::kCall);
  EXPECT_EQ(core_.on_failed(CallFailure::kTimedOut, kNow), Do::kFail);
  EXPECT_EQ(core_.group(), (Group{0, 1, 2, 3}));
  tell_group();
  EXPECT_EQ(core_.go_on(), Do::kEnd);
}

TEST_F(MergeCoreTest, ATimeOutAtTheGroupsOwnDeadlineIsNoSignThatTheEngineHangs) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  core_.on_answer(400, false);
  ASSERT_EQ(core_.go_on(), Do::kCall);
  EXPECT_EQ(core_.on_failed(CallFailure::kTimedOut, kNow + 10s), Do::kFail);
  EXPECT_EQ(core_.group(), (Group{0, 1}));
}

TEST_F(MergeCoreTest, AStuckEnginesMembersAreAllAskedAnewIfAnybodyElseIsThere) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  EXPECT_FALSE(core_.on_stuck({}));
  EXPECT_TRUE(core_.on_stuck(BackendSet::first(1)));
  EXPECT_EQ(core_.on_failed(CallFailure::kAborted, kNow), Do::kFail);
  EXPECT_EQ(core_.failure(), CallFailure::kStuck);
  EXPECT_EQ(core_.group().size(), 4u);
}

TEST_F(MergeCoreTest, OnlyWhatTheBackendDidIsToldToTheMonitor) {
  EXPECT_TRUE(MergeCore::looks_gone(CallFailure::kRefused));
  EXPECT_TRUE(MergeCore::looks_gone(CallFailure::kTimedOut));
  EXPECT_FALSE(MergeCore::looks_gone(CallFailure::kStuck));
  EXPECT_FALSE(MergeCore::looks_gone(CallFailure::kAborted));
}

TEST_F(MergeCoreTest, GivingUpLeavesOutWhoeverHasBeenTold) {
  ASSERT_EQ(core_.go_on(), Do::kCall);
  core_.on_answer(200, false);
  core_.on_unpacked(true);
  EXPECT_TRUE(core_.tell(0));
  EXPECT_FALSE(core_.tell(0)) << "nobody is told twice";
  EXPECT_EQ(core_.give_up(CallFailure::kAborted), Do::kFail);
  EXPECT_EQ(core_.group(), (Group{1, 2, 3}));
}

}  // namespace
}  // namespace batchproxy
