// tests/batcher/lane_test.cc - Lane and LaneHandle: every ticket's way across threads and back.
#include "batcher/lane.h"

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

// A client that keeps `window` tickets with the lane until `total` have been granted and completed.
class Client final : public VerdictSink {
 public:
  Client(LaneHandle& handle, std::size_t window, std::size_t total, std::function<void()> done)
      : handle_(handle), tickets_(window), left_(total), open_(0), done_(std::move(done)) {}

  void start() {
    for (Ticket& ticket : tickets_) submit(ticket);
  }
  void on_returned(Ticket& ticket) override {
    if (ticket.verdict.refused) {
      ++refused;
    } else {
      ++granted;
      handle_.complete(ticket, Outcome::kGood);
    }
    --open_;
    submit(ticket);
    if (open_ == 0) done_();
  }

  std::size_t granted = 0;
  std::size_t refused = 0;

 private:
  void submit(Ticket& ticket) {
    if (left_ == 0) return;
    --left_;
    ++open_;
    ticket.arrival = std::chrono::steady_clock::now();
    ticket.deadline = ticket.arrival + 1h;
    ticket.backends = BackendSet::first(2);
    ticket.sink = this;
    handle_.submit(ticket);
  }

  LaneHandle& handle_;
  std::vector<Ticket> tickets_;
  std::size_t left_;
  std::size_t open_;
  std::function<void()> done_;
};

SchedulerOptions eager() {
  return {FlushPolicy::kEager, 16, 500ms, 100000};
}

void add_backends(Lane& lane) {
  for (BackendId id = 0; id < 2; ++id) {
    lane.add_backend(id, {.max_num_seqs = 8});
    lane.set_up(id, true);
  }
}

TEST(Lane, ServesAPortOnItsOwnThreadWithoutCrossing) {
  asio::io_context io(1);
  Lane lane(io, eager());
  LaneHandle& handle = lane.add_handle(io);
  add_backends(lane);
  Client client(handle, 50, 2000, [] {});
  asio::post(io, [&] { client.start(); });
  io.run();
  EXPECT_EQ(client.granted, 2000u);
  EXPECT_EQ(lane.stats().queued.load(), 0u);
  EXPECT_EQ(lane.stats().inflight[0].load() + lane.stats().inflight[1].load(), 0u);
}

TEST(Lane, ServesPortsOnOtherThreadsAndLosesNothing) {
  constexpr std::size_t kThreads = 4, kEach = 5000;
  asio::io_context lane_io(1);
  Lane lane(lane_io, eager());
  std::vector<std::unique_ptr<asio::io_context>> contexts;
  std::vector<std::unique_ptr<Client>> clients;
  std::atomic<std::size_t> running{kThreads};
  for (std::size_t i = 0; i < kThreads; ++i) {
    contexts.push_back(std::make_unique<asio::io_context>(1));
    asio::io_context& io = *contexts.back();
    LaneHandle& handle = lane.add_handle(io);
    clients.push_back(std::make_unique<Client>(handle, 32, kEach, [&] {
      if (--running > 0) return;
      lane_io.stop();
      for (auto& context : contexts) context->stop();
    }));
  }
  add_backends(lane);
  auto guard = asio::make_work_guard(lane_io);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    asio::post(*contexts[i], [&, i] { clients[i]->start(); });
  }
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      auto keep = asio::make_work_guard(*contexts[i]);
      contexts[i]->run();
    });
  }
  lane_io.run();
  for (auto& thread : threads) thread.join();
  for (auto& client : clients) {
    EXPECT_EQ(client->granted, kEach);
    EXPECT_EQ(client->refused, 0u);
  }
}

struct Waiter final : VerdictSink {
  void on_returned(Ticket&) override { ++returns; }
  int returns = 0;
};

class CancelTest : public testing::Test {
 protected:
  void start(FlushPolicy policy) {
    lane_.emplace(io_, SchedulerOptions{policy, 16, 1h, 1000});
    handle_ = &lane_->add_handle(io_);
    add_backends(*lane_);
    ticket_.deadline = TimePoint::max();
    ticket_.arrival = std::chrono::steady_clock::now();
    ticket_.backends = BackendSet::first(1);
    ticket_.sink = &waiter_;
    asio::post(io_, [this] { handle_->submit(ticket_); });
  }

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> keep_ = asio::make_work_guard(io_);
  Waiter waiter_;
  Ticket ticket_;
  std::optional<Lane> lane_;
  LaneHandle* handle_ = nullptr;
};

TEST_F(CancelTest, AWaitingTicketComesBackForItsSubmitAndItsCancel) {
  start(FlushPolicy::kFixed);
  io_.poll();
  EXPECT_EQ(waiter_.returns, 0);
  handle_->cancel(ticket_);
  io_.poll();
  EXPECT_EQ(waiter_.returns, 2);
  EXPECT_EQ(ticket_.verdict.refused, Errc::kCancelled);
}

TEST_F(CancelTest, ATicketThatWasDecidedMeanwhileKeepsItsVerdictAndComesBackForBoth) {
  start(FlushPolicy::kEager);
  // Both messages leave in the same turn: the lane decides before it sees the cancellation.
  asio::post(io_, [this] { handle_->cancel(ticket_); });
  io_.poll();
  EXPECT_EQ(waiter_.returns, 2);
}

TEST_F(CancelTest, CancellingAfterTheGrantIsAcknowledgedAndChangesNothing) {
  start(FlushPolicy::kEager);
  io_.poll();
  ASSERT_EQ(waiter_.returns, 1);
  ASSERT_FALSE(ticket_.verdict.refused);
  handle_->cancel(ticket_);
  io_.poll();
  EXPECT_EQ(waiter_.returns, 2);
  EXPECT_FALSE(ticket_.verdict.refused);
  EXPECT_EQ(lane_->stats().inflight[0].load(), 1u);
}

TEST(Lane, ReportsAFixedBatchOnceItsLastMemberIsAnswered) {
  asio::io_context io(1);
  Lane lane(io, {FlushPolicy::kFixed, 4, 1h, 1000});
  std::vector<BatchSummary> done;
  lane.watch_batches([&](const BatchSummary& batch) { done.push_back(batch); });
  LaneHandle& handle = lane.add_handle(io);
  add_backends(lane);
  Client client(handle, 4, 8, [] {});
  asio::post(io, [&] { client.start(); });
  io.poll();
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[0].batch.prompts, 4u);
  EXPECT_EQ(done[0].answered, 4u);
  EXPECT_EQ(done[0].batch.reason, FlushReason::kFull);
}

// A lane on its own thread's io_context, whose second backend alone serves model 5 in version 2.
class RoutesTest : public testing::Test {
 protected:
  RoutesTest() {
    add_backends(lane_);
    lane_.set_routes(routes(2));
    io_.poll();
  }
  static Routes routes(std::uint64_t version) {
    BackendSet second;
    second.insert(1);
    Routes made;
    made.version = version;
    made.models[5] = second;
    return made;
  }
  // Made with `version`, by which the first backend served its model.
  Ticket& submit(std::uint64_t version, std::uint64_t model = 5) {
    Ticket& made = *tickets_.emplace_back(std::make_unique<Ticket>());
    made.arrival = std::chrono::steady_clock::now();
    made.deadline = made.arrival + 1h;
    made.model = model;
    made.routes = version;
    made.backends = BackendSet::first(version == 1 ? 1 : 0);
    made.sink = &waiter_;
    handle_.submit(made);
    io_.poll();
    return made;
  }

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> keep_ = asio::make_work_guard(io_);
  std::vector<std::unique_ptr<Ticket>> tickets_;
  Waiter waiter_;
  Lane lane_{io_, eager()};
  LaneHandle& handle_ = lane_.add_handle(io_);
};

TEST_F(RoutesTest, ATicketOfAnEarlierVersionIsLookedUpAnew) {
  const Ticket& ticket = submit(1);
  EXPECT_EQ(waiter_.returns, 1);
  EXPECT_FALSE(ticket.verdict.refused);
  EXPECT_EQ(ticket.verdict.backend, 1u);
  EXPECT_EQ(ticket.routes, 2u);
}

TEST_F(RoutesTest, ATicketOfTheSameVersionIsTakenAtItsWord) {
  Ticket& ticket = submit(2);
  EXPECT_EQ(waiter_.returns, 0) << "nobody is known to serve it, it says";
  handle_.cancel(ticket);
  io_.poll();
}

TEST_F(RoutesTest, ATicketOfAnEarlierVersionWhoseModelHasGoneIsRefused) {
  const Ticket& ticket = submit(1, 6);
  EXPECT_EQ(waiter_.returns, 1);
  EXPECT_EQ(ticket.verdict.refused, Errc::kUnknownModel);
}

TEST_F(RoutesTest, ATicketOfALaterVersionWaitsUntilTheLaneKnowsThatToo) {
  const Ticket& ticket = submit(3, 6);
  EXPECT_EQ(waiter_.returns, 0);
  Routes later = routes(3);
  later.models[6] = BackendSet::first(1);
  lane_.set_routes(later);
  io_.poll();
  EXPECT_EQ(waiter_.returns, 1);
  EXPECT_FALSE(ticket.verdict.refused);
  EXPECT_EQ(ticket.verdict.backend, 0u);
}

TEST_F(RoutesTest, ATicketWhoseModelSomebodyMayYetServeWaits) {
  Routes incomplete = routes(3);
  incomplete.complete = false;
  lane_.set_routes(incomplete);
  io_.poll();
  const Ticket& ticket = submit(2, 6);
  EXPECT_EQ(waiter_.returns, 0);
  lane_.set_routes(routes(4));
  io_.poll();
  EXPECT_EQ(waiter_.returns, 1);
  EXPECT_EQ(ticket.verdict.refused, Errc::kUnknownModel);
}

TEST_F(RoutesTest, ATicketOfAModelThatNobodyListsGoesToABackendThatServesAnything) {
  Routes with_anything = routes(3);
  with_anything.anything = BackendSet::first(1);
  lane_.set_routes(with_anything);
  io_.poll();
  EXPECT_EQ(submit(2, 6).verdict.backend, 0u);
  EXPECT_EQ(waiter_.returns, 1);
  EXPECT_EQ(with_anything.find(5), routes(3).find(5)) << "somebody lists it";
}

}  // namespace
}  // namespace batchproxy
