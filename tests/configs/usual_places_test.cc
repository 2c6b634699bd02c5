// tests/configs/usual_places_test.cc - where a configuration is looked for.
#include "configs/sources/usual_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::ElementsAre;

constexpr const char* kMachine = "/etc/batchproxy/batchproxy.yaml";

TEST(UsualPlaces, AreHereTheUsersAndTheMachines) {
  EXPECT_THAT(
      usual_places({{"HOME", "/home/me"}}),
      ElementsAre("batchproxy.yaml", "/home/me/.config/batchproxy/batchproxy.yaml", kMachine));
  EXPECT_THAT(usual_places({{"HOME", "/home/me"}, {"XDG_CONFIG_HOME", "/conf"}}),
              ElementsAre("batchproxy.yaml", "/conf/batchproxy/batchproxy.yaml", kMachine));
  EXPECT_THAT(usual_places({{"HOME", "relative"}}), ElementsAre("batchproxy.yaml", kMachine));
}

}  // namespace
}  // namespace batchproxy
