// tests/proxy/ticket_builder_test.cc - what the lane is told of a request.
#include "proxy/request/ticket_builder.h"

#include <chrono>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

Ticket described(bool background) {
  BodyPolicy policy;
  policy.merging = true;
  BodyScan scan;
  scan.mergeable = Mergeable::kCompletion;
  ClientRequest request;
  request.background = background;
  request.timeout = std::chrono::hours(1);
  Ticket like;
  like.background = background;
  Ticket ticket;
  describe_prompt(policy, scan, 0, request, like, {}, ticket);
  return ticket;
}

TEST(TicketBuilder, KeepsRequestsOfBatchesOutOfTheCallsOfOthers) {
  EXPECT_EQ(described(false).identity, described(false).identity);
  EXPECT_EQ(described(true).identity, described(true).identity);
  EXPECT_NE(described(true).identity, described(false).identity);
  EXPECT_TRUE(described(true).background);
}

}  // namespace
}  // namespace batchproxy
