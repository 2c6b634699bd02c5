// tests/proxy/browser_guard_test.cc - which requests of browsers the admin address takes.
#include "proxy/admin/browser_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::HasSubstr;

constexpr std::string_view kHost = "127.0.0.1:8001";
constexpr AskedOf kRead{.for_page = true};
constexpr AskedOf kOrder{.order = true, .for_page = true};

// As browsers send it; nothing of Sec-Fetch to a name that is reached by plain HTTP.
AskedBy of_page(std::string_view host = kHost) {
  return {.host = host,
          .site = "same-origin",
          .mode = "cors",
          .dest = "empty",
          .language = "en",
          .agent = "Mozilla/5.0"};
}

TEST(BrowserGuard, LetsProgramsDoAsEver) {
  for (const std::string_view host : {"", "127.0.0.1", "metrics.example.org"}) {
    for (const AskedOf& asked : {kRead, kOrder, AskedOf{.order = true, .loopback = false}}) {
      EXPECT_EQ(refuse_browser({.host = host, .agent = "curl/8.5"}, asked), std::nullopt) << host;
    }
  }
}

TEST(BrowserGuard, LetsThePageRead) {
  for (const std::string_view host : {"127.0.0.1:8001", "[::1]:8001", "localhost", "gpubox:8001",
                                      "10.1.2.3", "app.localhost:1", "LOCALHOST"}) {
    EXPECT_EQ(refuse_browser(of_page(host), kRead), std::nullopt) << host;
  }
  AskedOf named = kRead;
  named.own_name = "gpu1.example.org";
  EXPECT_EQ(refuse_browser(of_page("GPU1.example.org:80"), named), std::nullopt);
}

TEST(BrowserGuard, RefusesAPageWhoseOwnNameLeadsHere) {
  // Of the same origin, says the browser, if it says anything.
  for (const std::string_view site : {"same-origin", ""}) {
    AskedBy rebound = of_page("evil.example:8001");
    rebound.site = site;
    EXPECT_THAT(refuse_browser(rebound, kRead).value_or(""),
                HasSubstr("not at `evil.example:8001`"));
    rebound.origin = "http://evil.example:8001";
    EXPECT_NE(refuse_browser(rebound, kOrder), std::nullopt);
  }
  for (const std::string_view host :
       {"", "127.0.0.1.evil.example", "evil.localhost.example", "1.2.3"}) {
    EXPECT_NE(refuse_browser(of_page(host), kRead), std::nullopt) << host;
  }
  AskedOf keyed = kRead;
  keyed.keyed = true;
  EXPECT_EQ(refuse_browser(of_page("gpus.example.org"), keyed), std::nullopt)
      << "no page has the key but the one that it was typed in";
}

TEST(BrowserGuard, RefusesPagesOfOtherOrigins) {
  for (const std::string_view site : {"cross-site", "same-site"}) {
    AskedBy other = of_page();
    other.site = site;
    EXPECT_NE(refuse_browser(other, kRead), std::nullopt) << site;
    other.mode = "navigate";
    other.dest = "iframe";
    EXPECT_NE(refuse_browser(other, kRead), std::nullopt) << site;
    other.dest = "document";
    EXPECT_EQ(refuse_browser(other, kRead), std::nullopt) << "a link may be followed";
    EXPECT_NE(refuse_browser(other, kOrder), std::nullopt) << "but a form may not be sent";
  }
  for (const std::string_view origin : {"http://127.0.0.1:3000", "https://evil.example", "null"}) {
    AskedBy other{.host = kHost, .origin = origin};
    EXPECT_NE(refuse_browser(other, kRead), std::nullopt) << origin;
    EXPECT_NE(refuse_browser(other, kOrder), std::nullopt) << origin;
  }
}

TEST(BrowserGuard, LetsThePageOrderEnginesOnLoopbackOrWithAKey) {
  AskedBy page = of_page();
  page.origin = "http://127.0.0.1:8001";
  EXPECT_EQ(refuse_browser(page, kOrder), std::nullopt);
  AskedOf open = kOrder;
  open.loopback = false;
  EXPECT_THAT(refuse_browser(page, open).value_or(""), HasSubstr("read-only here"));
  EXPECT_EQ(refuse_browser(page, open), why_read_only(open));
  open.keyed = true;
  EXPECT_EQ(refuse_browser(page, open), std::nullopt);
  EXPECT_EQ(why_read_only(open), std::nullopt);
  // Without its origin nobody knows which page it was.
  EXPECT_NE(refuse_browser(of_page(), kOrder), std::nullopt);
}

TEST(BrowserGuard, KeepsPagesFromAllOtherOrders) {
  AskedBy page = of_page();
  page.origin = "http://127.0.0.1:8001";
  EXPECT_EQ(refuse_browser(page, {.order = true}),
            "Web pages may not use this path. Use a program that sends no Origin field.");
}

TEST(BrowserGuard, GivesThePageItselfToAnyName) {
  AskedOf asked = kRead;
  asked.tells = false;
  EXPECT_EQ(refuse_browser(of_page("gpus.example.org"), asked), std::nullopt)
      << "it asks for a key";
}

}  // namespace
}  // namespace batchproxy
