// tests/proxy/top_core_test.cc - what each key of `batchproxy top` does.
#include "proxy/top/top_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::HasSubstr;

class TopCoreTest : public testing::Test {
 protected:
  TopCoreTest() {
    for (const char* name : {"engine-0", "engine-1", "other"}) {
      now_.backends.emplace_back().name = name;
      now_.backends.back().state = BackendState::kReady;
    }
    judge(now_);
  }
  TopCore::Action press(int key) { return core_.on_key(key, now_); }
  void type(std::string_view text) {
    for (const char key : text) press(key);
  }

  Snapshot now_;
  TopCore core_;
};

TEST_F(TopCoreTest, QuitsAtOnce) {
  EXPECT_TRUE(press('q').quit);
}

TEST_F(TopCoreTest, ChoosesWithTheArrows) {
  press(TopCore::kUp);
  EXPECT_EQ(core_.view().chosen, "engine-0");
  press(TopCore::kDown);
  EXPECT_EQ(core_.view().chosen, "engine-1");
  for (int i = 0; i < 5; ++i) press(TopCore::kDown);
  EXPECT_EQ(core_.view().chosen, "other");
}

TEST_F(TopCoreTest, ShowsOneEngineAndGoesBack) {
  press(TopCore::kEnter);
  EXPECT_TRUE(core_.view().detail) << "the first, when none was chosen";
  EXPECT_EQ(core_.view().chosen, "engine-0");
  press(TopCore::kEnter);
  EXPECT_FALSE(core_.view().detail);
  press(TopCore::kEnter);
  press(TopCore::kEscape);
  EXPECT_FALSE(core_.view().detail);
}

TEST_F(TopCoreTest, SortsByOneAfterTheOther) {
  for (std::size_t i = 1; i < kCountOf<SortBy>; ++i) {
    press('s');
    EXPECT_EQ(core_.view().sort, static_cast<SortBy>(i));
  }
  press('s');
  EXPECT_EQ(core_.view().sort, SortBy::kName);
}

TEST_F(TopCoreTest, TakesKeysAsTextWhileTheFilterIsTyped) {
  press('/');
  type("quit");
  EXPECT_EQ(core_.view().filter, "quit");
  press(TopCore::kBackspace);
  EXPECT_EQ(core_.view().message, "filter: qui");
  press(TopCore::kEnter);
  EXPECT_EQ(core_.view().message, "");
  EXPECT_EQ(core_.view().filter, "qui");
  press('/');
  press(TopCore::kEscape);
  EXPECT_EQ(core_.view().filter, "");
}

TEST_F(TopCoreTest, DrainsAndResumesTheChosenOne) {
  EXPECT_FALSE(press('d').order);
  EXPECT_THAT(core_.view().message, HasSubstr("choose an engine"));
  press(TopCore::kDown);
  auto order = press('d').order;
  ASSERT_TRUE(order);
  EXPECT_EQ(order->verb, EngineVerb::kPause);
  EXPECT_EQ(order->engine, "engine-0");
  now_.backends[0].state = BackendState::kPaused;
  judge(now_);
  EXPECT_EQ(press('d').order->verb, EngineVerb::kResume);
}

TEST_F(TopCoreTest, AsksBeforeARestart) {
  press(TopCore::kDown);
  EXPECT_FALSE(press('r').order);
  EXPECT_THAT(core_.view().message, HasSubstr("restart engine-0"));
  EXPECT_FALSE(press('q').quit) << "anything but y is no";
  EXPECT_EQ(core_.view().message, "nothing is done");
  press('r');
  const auto order = press('y').order;
  ASSERT_TRUE(order);
  EXPECT_EQ(order->verb, EngineVerb::kRestart);
}

TEST_F(TopCoreTest, GivesNoOrderForOneThatIsNotShown) {
  press(TopCore::kDown);
  press('/');
  type("other\n");
  EXPECT_FALSE(press('d').order);
}

}  // namespace
}  // namespace batchproxy
