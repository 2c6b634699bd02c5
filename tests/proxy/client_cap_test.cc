// tests/proxy/client_cap_test.cc - how many clients, and who goes first, in virtual time.
#include "proxy/limits/client_cap.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

const TimePoint kStart = TimePoint() + 1h;

struct Client final : IdleClient {
  bool close_idle() override { return closed = !busy; }
  bool closed = false;
  bool busy = false;  // its next request has come
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

TEST(IdleClients, TryAnotherWhenOneHasItsNextRequest) {
  ClientCap cap(2, 1);
  IdleClients idle(cap, 0);
  Client a, b;
  a.busy = true;
  idle.add(a, kStart);
  idle.add(b, kStart + 1s);
  EXPECT_FALSE(idle.close_oldest_of_all(kStart + 10s));
  EXPECT_TRUE(idle.close_oldest_of_all(kStart + 10s));
  EXPECT_TRUE(b.closed);
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
  ASSERT_TRUE(cap.take());
  ASSERT_TRUE(cap.take());
  IdleClients here(cap, 0), there(cap, 1), nobody(cap, 2);
  Client young, old;
  here.add(young, kStart + 5s);
  there.add(old, kStart);
  EXPECT_FALSE(here.close_oldest_of_all(kStart + 10s));
  EXPECT_FALSE(nobody.close_oldest_of_all(kStart + 10s));
  EXPECT_TRUE(there.close_oldest_of_all(kStart + 10s));
  EXPECT_FALSE(here.close_oldest_of_all(kStart + 10s)) << "one for one: that place is not free yet";
  cap.give();
  EXPECT_TRUE(here.close_oldest_of_all(kStart + 10s));
  EXPECT_TRUE(young.closed && old.closed);
}

}  // namespace
}  // namespace batchproxy
