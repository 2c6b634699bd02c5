// tests/proxy/ui_page_test.cc - the page at /ui as it is sent, its policy, and its curves.
#include "proxy/ui/ui_page.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/ui/history.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(UiPage, IsWholeAndLight) {
  const std::string_view html = ui_page().html;
  EXPECT_THAT(std::string(html), StartsWith("<!doctype html>"));
  EXPECT_TRUE(html.ends_with("</html>\n"));
  EXPECT_LT(html.size(), 60'000u);
  EXPECT_EQ(html.find("*{page"), html.npos) << "style and script are in it";
  EXPECT_TRUE(std::ranges::all_of(html, [](char c) { return c == '\n' || (c >= ' ' && c < 127); }));
}

TEST(UiPage, LoadsNothingAndMakesNoMarkup) {
  const std::string html(ui_page().html);
  for (const char* no :
       {" src=", "@import", "url(", "<link rel=\"stylesheet", "innerHTML", "outerHTML",
        "insertAdjacentHTML", "document.write", "eval(", " style=\"", "onclick=\""}) {
    EXPECT_THAT(html, Not(HasSubstr(no)));
  }
}

TEST(UiPage, ItsPolicyLetsItsOwnScriptAndStyleRunAndNothingElse) {
  // printf hello | openssl dgst -sha256 -binary | base64
  const std::string policy = policy_of("<style></style><script>hello</script>");
  EXPECT_THAT(policy, HasSubstr("default-src 'none'; script-src "
                                "'sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ='; "));
  EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(policy_of("<p>"), HasSubstr("script-src 'none'; style-src 'none';"));
  EXPECT_THAT(ui_page().policy, Not(HasSubstr("unsafe")));
  EXPECT_THAT(ui_page().policy, HasSubstr("script-src 'sha256-"));
  EXPECT_THAT(ui_page().policy, HasSubstr("style-src 'sha256-"));
}

TEST(UiPage, HasAnEtagOfItsText) {
  EXPECT_EQ(ui_page().etag.size(), 24u);
  EXPECT_TRUE(ui_page().etag.starts_with('"') && ui_page().etag.ends_with('"'));
}

TEST(History, HasAPointASecondAndForgetsTheOldest) {
  History history;
  EXPECT_EQ(history.to_json(),
            R"({"rate":[],"queue":[],"p95":[],"fill":[],"cache":[],"errors":[],"engines":{}})");
  Snapshot now;
  for (int second = 1; second <= 200; ++second) {
    now.last_10s.answered = second;
    history.add(now);
  }
  EXPECT_THAT(history.to_json(), StartsWith(R"({"rate":[21,22,)"));
  EXPECT_THAT(history.to_json(), HasSubstr(R"(,199,200],"queue":[0,0)"));
}

TEST(History, KnowsEachEngineFromWhenItWasThere) {
  History history;
  Snapshot now;
  now.trend.prefix_hits = 0.5;
  BackendSnapshot& one = now.backends.emplace_back();
  one.name = "a\"b";
  one.state = BackendState::kReady;
  one.inflight = 3;
  one.room = 4;
  one.trend.answers_10s = 1.25;
  history.add(Snapshot());
  history.add(now);
  history.add(now);
  const std::string json = history.to_json();
  EXPECT_THAT(json, HasSubstr(R"("engines":{"a\"b":[null,1.25,1.25]})"));
  EXPECT_THAT(json, HasSubstr(R"("fill":[0,0.75,0.75],"cache":[null,0.5,0.5])"));
}

TEST(History, CountsTheRoomOfReadyEnginesOnly) {
  Snapshot now;
  EXPECT_EQ(fill_of(now), 0);
  now.backends.resize(2);
  now.backends[0].state = BackendState::kReady;
  now.backends[0].inflight = 8;
  now.backends[0].room = 8;
  now.backends[1].state = BackendState::kFailed;
  now.backends[1].room = 8;
  EXPECT_EQ(fill_of(now), 1);
}

}  // namespace
}  // namespace batchproxy
