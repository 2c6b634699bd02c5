// tests/proxy/client_request_test.cc - the ids that requests are known by.
#include "proxy/wire/client_request.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(RequestId, HasTheSameWidthForAllRequests) {
  const std::string prefix = "bp1-00-";
  EXPECT_EQ(RequestId(prefix, 1).text(), "bp1-00-00000001");
  EXPECT_EQ(RequestId(prefix, 0xffffffff).text(), "bp1-00-ffffffff");
}

TEST(RequestId, GrowsRatherThanMeetAnother) {
  const std::string prefix = "p-";
  EXPECT_EQ(RequestId(prefix, 0x1ffffffff).text(), "p-1ffffffff");
}

TEST(ValueOf, FindsAFieldInEitherCase) {
  const std::string lines = "Accept: a\r\ncontent-type: x; y=\"z: \"\r\nAccept: b\r\n";
  EXPECT_EQ(value_of(lines, "Content-Type"), "x; y=\"z: \"");
  EXPECT_EQ(value_of(lines, "accept"), "a");
  EXPECT_EQ(value_of(lines, "other"), "");
  EXPECT_EQ(value_of("", "accept"), "");
}

TEST(ClientRequest, IsShownByItsOwnIdOrByOurs) {
  const std::string prefix = "p-";
  ClientRequest request;
  request.id = {prefix, 10};
  std::string shown;
  request.append_shown_id(shown);
  EXPECT_EQ(shown, "p-0000000a");
  request.given_id = "job:7";
  shown.clear();
  request.append_shown_id(shown);
  EXPECT_EQ(shown, "job:7");
}

}  // namespace
}  // namespace batchproxy
