// tests/proxy/router_test.cc - the allow-list.
#include "proxy/router.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(Router, KnowsItsRoutes) {
  EXPECT_EQ((*find_route("POST", "/v1/completions"))->body, BodyKind::kCompletion);
  EXPECT_EQ((*find_route("POST", "/v1/chat/completions"))->action, Action::kForward);
  EXPECT_EQ((*find_route("GET", "/v1/models"))->action, Action::kModels);
  EXPECT_EQ((*find_route("GET", "/health"))->action, Action::kHealth);
}

TEST(Router, RefusesWhatIsNotOnTheList) {
  for (const char* path : {"/", "/metrics", "/v1/completions/", "/v1//completions", "/invocations",
                           "/sleep", "/collective_rpc", "*"}) {
    EXPECT_EQ(find_route("POST", path).error().code, Errc::kUnknownRoute) << path;
  }
}

TEST(Router, SaysWhichMethodWouldDo) {
  EXPECT_EQ(find_route("GET", "/v1/completions").error().code, Errc::kMethodNotAllowed);
  EXPECT_EQ(allowed_method("/v1/completions"), "POST");
}

}  // namespace
}  // namespace batchproxy
