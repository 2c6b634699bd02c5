// tests/backends/name_tracker_test.cc - when a name is looked up, and what an answer changes.
#include "backends/names/name_tracker.h"

#include <initializer_list>

#include <boost/asio/error.hpp>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

const TimePoint kStart = TimePoint{} + 1h;

LookUp found(std::initializer_list<const char*> texts) {
  LookUp answer;
  for (const char* text : texts) answer.found.emplace_back(asio::ip::make_address(text), 8000);
  return answer;
}
const LookUp kGone{asio::error::host_not_found, {}};
const LookUp kNoServer{asio::error::host_not_found_try_again, {}};

class NameTrackerTest : public testing::Test {
 protected:
  // Looks up, and takes `answer`. Whether that has changed something.
  bool look_up(const LookUp& answer, TimePoint now = kStart) {
    tracker_.begin(now);
    return tracker_.take(answer);
  }
  std::string addresses() const { return to_string(tracker_.addresses()); }

  NameTracker tracker_{"vllm"};
};

TEST_F(NameTrackerTest, IsLookedUpAtOnceAndThenEverySecondUntilItIsReady) {
  EXPECT_EQ(tracker_.due(), TimePoint{});
  look_up(kGone);
  EXPECT_EQ(tracker_.due(), kStart + 1s);
  look_up(found({"127.0.0.2"}));
  EXPECT_EQ(tracker_.due(), kStart + 1s);
  tracker_.set_ready(true);
  EXPECT_EQ(tracker_.due(), kStart + 10s);
  tracker_.set_ready(false);
  EXPECT_EQ(tracker_.due(), kStart + 1s);
}

TEST_F(NameTrackerTest, IsLookedUpWhenItCouldNotBeReachedButOnceASecond) {
  tracker_.set_ready(true);
  look_up(found({"127.0.0.2"}));
  tracker_.doubt();
  EXPECT_EQ(tracker_.due(), kStart + 1s);
  look_up(found({"127.0.0.2"}), kStart + 1s);
  EXPECT_EQ(tracker_.due(), kStart + 11s);
}

TEST_F(NameTrackerTest, IsLookedUpAtOnceWhenAskedTo) {
  look_up(found({"127.0.0.2"}));
  tracker_.hurry();
  EXPECT_EQ(tracker_.due(), TimePoint{});
  look_up(found({"127.0.0.2"}));
  EXPECT_EQ(tracker_.due(), kStart + 1s);
}

// That one may have begun before the change.
TEST_F(NameTrackerTest, IsLookedUpOnceMoreWhenAskedToDuringALookUp) {
  tracker_.begin(kStart);
  tracker_.hurry();
  EXPECT_EQ(tracker_.due(), std::nullopt);
  tracker_.take(found({"127.0.0.2"}));
  EXPECT_EQ(tracker_.due(), TimePoint{});
}

TEST_F(NameTrackerTest, HasNoNewsWhenItIsFoundAtOnce) {
  EXPECT_TRUE(look_up(found({"::1", "127.0.0.1"})));
  EXPECT_EQ(addresses(), "127.0.0.1, ::1");
  EXPECT_EQ(tracker_.news(), "");
}

TEST_F(NameTrackerTest, ChangesNothingWhenTheSameAreFoundInAnotherOrder) {
  look_up(found({"127.0.0.2", "127.0.0.3"}));
  EXPECT_FALSE(look_up(found({"127.0.0.3", "127.0.0.2"})));
  EXPECT_EQ(addresses(), "127.0.0.2, 127.0.0.3");
}

TEST_F(NameTrackerTest, SaysWhereABackendIsNowAndWhereItWas) {
  look_up(found({"127.0.0.2"}));
  EXPECT_TRUE(look_up(found({"127.0.0.3", "127.0.0.4"})));
  EXPECT_EQ(addresses(), "127.0.0.3, 127.0.0.4");
  EXPECT_EQ(tracker_.news(), "is now at 127.0.0.3, 127.0.0.4 (was 127.0.0.2)");
  EXPECT_FALSE(look_up(found({"127.0.0.3", "127.0.0.4"})));
  EXPECT_EQ(tracker_.news(), "");
}

TEST_F(NameTrackerTest, SaysInWordsThatANameIsNotFound) {
  EXPECT_TRUE(look_up(kGone));
  EXPECT_EQ(tracker_.problem(), "its name `vllm` cannot be resolved: " + kGone.error.message());
  EXPECT_EQ(tracker_.news(), "") << "nobody knew it before";
  EXPECT_FALSE(look_up(kGone));
  EXPECT_TRUE(look_up(found({"127.0.0.2"})));
  EXPECT_EQ(tracker_.problem(), "");
  EXPECT_EQ(tracker_.news(), "is now at 127.0.0.2 (was unknown)");
}

TEST_F(NameTrackerTest, KeepsTheAddressesOfAWorkingBackendWhateverItsNameDoes) {
  tracker_.set_ready(true);
  look_up(found({"127.0.0.2"}));
  for (const LookUp& failure : {kGone, kNoServer}) {
    EXPECT_TRUE(look_up(failure));
    EXPECT_EQ(addresses(), "127.0.0.2");
    EXPECT_NE(tracker_.problem(), "");
    EXPECT_EQ(tracker_.news(), "");
  }
}

TEST_F(NameTrackerTest, KeepsTheAddressesWhenTheNameServersAreSilent) {
  look_up(found({"127.0.0.2"}));
  look_up(kNoServer);
  EXPECT_EQ(addresses(), "127.0.0.2");
}

TEST_F(NameTrackerTest, ForgetsTheAddressesWhenItIsNotReadyAndItsNameHasGone) {
  look_up(found({"127.0.0.2"}));
  EXPECT_TRUE(look_up(kGone));
  EXPECT_EQ(addresses(), "");
  EXPECT_EQ(tracker_.news(), "has no address any more: " + tracker_.problem() + " (was 127.0.0.2)");
  EXPECT_FALSE(look_up(kGone));
  EXPECT_TRUE(look_up(found({"127.0.0.2"})));
  EXPECT_EQ(tracker_.news(), "is at 127.0.0.2 again");
  look_up(kGone);
  look_up(found({"127.0.0.3"}));
  EXPECT_EQ(tracker_.news(), "is now at 127.0.0.3 (was 127.0.0.2)");
}

}  // namespace
}  // namespace batchproxy
