// tests/batcher/turns/clients_test.cc - in which order the tickets of several clients have their
// turns, and which clients are remembered.
#include "batcher/turns/clients.h"

#include <deque>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart = TimePoint() + 1h;

class ClientTurns : public testing::Test {
 protected:
  Ticket& submit(std::uint64_t client, std::uint32_t prompts = 1) {
    Ticket& ticket = tickets_.emplace_back();
    ticket.client = client;
    ticket.prompts = prompts;
    clients_.on_submitted(ticket, kStart);
    return ticket;
  }

  std::deque<Ticket> tickets_;
  Clients clients_;
};

TEST_F(ClientTurns, FollowEachOtherAtTheDistanceOfTheirPrompts) {
  const std::uint64_t first = submit(1, 3).turn;
  EXPECT_EQ(submit(1, 2).turn, first + 3);
  EXPECT_EQ(submit(1).turn, first + 5);
}

TEST_F(ClientTurns, BeginAtTheTurnThatIsServedForAClientThatWasIdle) {
  submit(1, 1000);
  const Ticket& served = submit(1);
  clients_.on_granted(served);
  EXPECT_EQ(submit(2).turn, served.turn) << "it has no claim on the turns that have passed";
}

TEST_F(ClientTurns, StayWithATicketThatComesBack) {
  Ticket& retried = submit(1);
  const std::uint64_t turn = retried.turn;
  clients_.on_granted(retried);
  for (int i = 0; i < 10; ++i) clients_.on_granted(submit(2));
  clients_.on_submitted(retried, kStart);
  EXPECT_EQ(retried.turn, turn);
}

TEST_F(ClientTurns, AreForgottenWithTheLastTicketThatWasDropped) {
  Ticket& first = submit(1, 1000);
  Ticket& second = submit(1);
  const std::uint64_t turn = first.turn;
  clients_.on_dropped(first, kStart);
  EXPECT_EQ(clients_.size(), 1u);
  clients_.on_dropped(second, kStart);
  EXPECT_EQ(clients_.size(), 0u);
  EXPECT_EQ(submit(1).turn, turn) << "it shall not wait for turns that it never took";
}

TEST_F(ClientTurns, StartAnewWhenNothingWaits) {
  Ticket& long_list = submit(1, 1000);
  clients_.on_granted(long_list);
  clients_.start_anew();
  EXPECT_EQ(submit(1).turn, submit(2).turn);
}

TEST_F(ClientTurns, AreBoundedHoweverManyClientsCome) {
  for (std::uint64_t client = 0; client < 50000; ++client) {
    clients_.on_granted(submit(client));
    clients_.start_anew();
  }
  EXPECT_LT(clients_.size(), 10000u);
}

TEST_F(ClientTurns, AreRememberedOfAClientThatHasLeftOfLate) {
  Ticket& ticket = submit(1);
  clients_.patience_of_leaver(1)->on_left(3s, kStart);
  clients_.on_dropped(ticket, kStart);
  EXPECT_NE(clients_.find_patience(1), nullptr);
  EXPECT_EQ(clients_.find_patience(2), nullptr);
}

}  // namespace
}  // namespace batchproxy
