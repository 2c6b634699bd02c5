// tests/proxy/client_cap_test.cc - how many clients, and who goes first, in virtual time.
#include "proxy/client_cap.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

const TimePoint kStart = TimePoint() + 1h;

struct Client final : IdleClient {
  void close_idle() override { closed = true; }
  bool closed = false;
};

TEST(ClientLimit, FollowsTheDescriptorsUnlessGiven) {
  EXPECT_EQ(client_limit(7, 1024), 7u);
  EXPECT_EQ(client_limit(0, 1024), 800u);
  EXPECT_EQ(client_limit(0, 20000), 15984u);
  EXPECT_EQ(client_limit(0, 1 << 20), 16384u);
  EXPECT_EQ(client_limit(0, ~std::uint64_t{0}), 16384u) << "no limit at all";
  EXPECT_EQ(client_limit(0, 64), 32u);
  EXPECT_EQ(client_limit(0, 8), 1u);
}

TEST(ClientCap, HasSoManyPlaces) {
  ClientCap cap(2, 1);
  EXPECT_TRUE(cap.take());
  EXPECT_TRUE(cap.take());
  EXPECT_FALSE(cap.take());
  EXPECT_FALSE(cap.take());
  cap.give();
  EXPECT_TRUE(cap.take());
}

TEST(IdleClients, CloseTheLongestResting) {
  ClientCap cap(2, 1);
  IdleClients idle(cap, 0);
  Client a, b, c;
  idle.add(a, kStart);
  idle.add(b, kStart + 1s);
  idle.add(c, kStart + 2s);
  idle.remove(a);            // it asked something,
  idle.add(a, kStart + 3s);  // and rests again
  EXPECT_TRUE(idle.close_oldest_of_all(kStart + 10s));
  EXPECT_TRUE(b.closed);
  EXPECT_TRUE(idle.close_oldest(kStart + 10s));
  EXPECT_TRUE(c.closed);
  EXPECT_FALSE(a.closed);
}

TEST(IdleClients, LeaveAloneWhoHasJustBeenAnswered) {
  ClientCap cap(2, 1);
  IdleClients idle(cap, 0);
  Client a;
  EXPECT_FALSE(idle.close_oldest(kStart));
  idle.add(a, kStart);
  EXPECT_FALSE(idle.close_oldest(kStart + 900ms));
  EXPECT_TRUE(idle.close_oldest(kStart + 1s));
  EXPECT_FALSE(idle.close_oldest(kStart + 1s)) << "once";
}

TEST(IdleClients, LookAtTheOtherThreads) {
  ClientCap cap(2, 3);
  IdleClients here(cap, 0), there(cap, 1), nobody(cap, 2);
  Client young, old;
  here.add(young, kStart + 5s);
  there.add(old, kStart);
  EXPECT_FALSE(here.close_oldest_of_all(kStart + 10s));
  EXPECT_FALSE(nobody.close_oldest_of_all(kStart + 10s));
  EXPECT_TRUE(there.close_oldest_of_all(kStart + 10s));
  EXPECT_TRUE(here.close_oldest_of_all(kStart + 10s));
  EXPECT_TRUE(young.closed && old.closed);
}

}  // namespace
}  // namespace batchproxy
