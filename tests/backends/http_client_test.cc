// tests/backends/http_client_test.cc - the URLs that users paste.
#include "backends/call/http_client.h"

#include <stdexcept>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(ParseUrl, TakesWhatUsersPaste) {
  EXPECT_EQ(parse_url("http://a:1/v1").port, "1");
  EXPECT_EQ(parse_url("http://a:1/").host, "a");
  EXPECT_THROW(parse_url("a:1"), std::runtime_error);
}

}  // namespace
}  // namespace batchproxy
