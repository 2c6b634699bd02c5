// tests/backends/name_watch_test.cc - a backend that comes back under another address is found
// there, by probes and by calls.
#include "backends/names/name_watch.h"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/call/connection_pool.h"
#include "backends/health/backend_monitor.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Duration kDeadline = 20s;
const HostPort kName{"vllm", 8000};

// Answers what a test says, from the event loop.
class FakeResolver final : public Resolver {
 public:
  explicit FakeResolver(asio::io_context& io) : io_(io) {}
  void look_up(const HostPort& name, Tell tell) override {
    asked_.push_back(name.host);
    if (!answers_) return waiting_.push_back(std::move(tell));
    asio::post(io_, [tell = std::move(tell), answer = answer_] { tell(answer); });
  }

  void fall_silent() { answers_ = false; }
  void find(const std::vector<asio::ip::tcp::endpoint>& addresses) { answer_ = {{}, addresses}; }
  void find_nothing() { answer_ = {asio::error::host_not_found, {}}; }
  // To the question that was asked while it was silent.
  void answer_late() {
    ASSERT_EQ(waiting_.size(), 1u);
    const Tell tell = waiting_.front();
    waiting_.pop_front();
    tell(answer_);
  }
  const std::vector<std::string>& asked() const { return asked_; }

 private:
  asio::io_context& io_;
  LookUp answer_;
  bool answers_ = true;
  std::vector<std::string> asked_;
  std::deque<Tell> waiting_;
};

// A server of one model at one address, on the test's own event loop.
class Engine {
 public:
  Engine(asio::io_context& io, const asio::ip::tcp::endpoint& at)
      : acceptor_(std::make_shared<Acceptor>(io.get_executor(), at)) {
    asio::co_spawn(io, serve(acceptor_), asio::detached);
  }
  ~Engine() { acceptor_->close(); }
  asio::ip::tcp::endpoint address() const { return acceptor_->local_endpoint(); }

 private:
  using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, IoExecutor>;
  using Socket = asio::basic_stream_socket<asio::ip::tcp, IoExecutor>;

  static Task<void> serve(std::shared_ptr<Acceptor> acceptor) {
    while (acceptor->is_open()) {
      Socket client(acceptor->get_executor());
      ErrorCode error;
      co_await acceptor->async_accept(client, asio::redirect_error(use_task, error));
      if (!error) co_await answer(std::move(client));
    }
  }
  static Task<void> answer(Socket client) {
    std::string head;
    ErrorCode ignored;
    co_await asio::async_read_until(client, asio::dynamic_buffer(head), "\r\n\r\n",
                                    asio::redirect_error(use_task, ignored));
    const std::string text =
        "HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n{\"data\":[{\"id\":\"m\"}]}";
    co_await asio::async_write(client, asio::buffer(text), asio::redirect_error(use_task, ignored));
  }

  std::shared_ptr<Acceptor> acceptor_;
};

// Wired as in App, on one thread.
class NameWatchTest : public testing::Test {
 protected:
  void start() {
    Endpoint endpoint;
    endpoint.name = endpoint.authority = "vllm:8000";
    endpoint_ = std::make_shared<const Endpoint>(endpoint);
    pool_.set(endpoint_);
    monitor_.add(endpoint_);
    names_.add(0, kName);
    names_.start();
    monitor_.start();
  }
  void on_change(const NameTracker& name) {
    Endpoint next = *endpoint_;
    next.addresses = name.addresses();
    next.problem = name.problem();
    endpoint_ = std::make_shared<const Endpoint>(std::move(next));
    pool_.set(endpoint_);
    monitor_.set_endpoint(endpoint_);
    if (!name.news().empty()) news_.push_back(name.news());
  }
  template <class Condition>
  void run_until(Condition holds) {
    const TimePoint end = std::chrono::steady_clock::now() + kDeadline;
    while (!holds() && std::chrono::steady_clock::now() < end) io_.run_one_for(10ms);
    ASSERT_TRUE(holds());
  }
  void run_until_ready() {
    run_until([this] { return monitor_.health(0) == Health::kReady; });
  }
  // A call's connection, to where the pool finds the backend.
  std::string connect() {
    const auto connecting = [](ConnectionPool& pool, Connection::Ptr connection,
                               std::optional<std::string>& to) -> Task<void> {
      const ErrorCode error = co_await pool.connect(0, *connection, TimePoint::max());
      to = error ? error.message() : connection->peer_address();
      connection->close();
    };
    std::optional<std::string> to;
    asio::co_spawn(io_, connecting(pool_, pool_.make(), to), asio::detached);
    run_until([&to] { return to.has_value(); });
    return *to;
  }
  void start_old(const char* address = "127.0.0.2") {
    old_.emplace(io_, asio::ip::tcp::endpoint(asio::ip::make_address(address), 0));
  }
  void start_new(const char* address = "127.0.0.3") {
    const std::uint16_t port = old_->address().port();
    new_.emplace(io_, asio::ip::tcp::endpoint(asio::ip::make_address(address), port));
  }

  asio::io_context io_;
  DeadlineQueue deadlines_{io_};
  std::optional<Engine> old_, new_;
  FakeResolver resolver_{io_};
  BackendMonitor monitor_{
      io_,
      {.health = 1h, .metrics = 1h},
      {[this](BackendId id, BackendEvent event, const std::string&) {
         names_.set_ready(id, event == BackendEvent::kProbePassed);
       },
       [](BackendId, ModelList) {}, [](BackendId, const Abilities&) {},
       [](BackendId, const std::optional<EngineMetrics>&) {},
       [](BackendId) { return std::uint64_t{0}; }, [this](BackendId id) { names_.doubt(id); }}};
  NameWatch names_{io_, resolver_, [this](BackendId, const NameTracker& name) { on_change(name); }};
  Poller poller_{io_};
  ConnectionPool pool_{poller_, deadlines_, 5s};
  std::shared_ptr<const Endpoint> endpoint_;
  std::vector<std::string> news_;
};

TEST_F(NameWatchTest, FindsABackendThatComesBackElsewhere) {
  start_old();
  resolver_.find({old_->address()});
  start();
  run_until_ready();
  EXPECT_EQ(connect(), "127.0.0.2");
  start_new();
  old_.reset();
  resolver_.find({new_->address()});
  monitor_.report_failure(0, true);  // as a call does
  run_until([this] { return monitor_.health(0) == Health::kUnready; });
  run_until_ready();
  EXPECT_EQ(connect(), "127.0.0.3");
  EXPECT_THAT(news_, ElementsAre("is now at 127.0.0.3 (was 127.0.0.2)"));
}

TEST_F(NameWatchTest, WaitsForANameThatIsNotFound) {
  start_old();
  resolver_.find_nothing();
  start();
  run_until([this] { return monitor_.health(0) == Health::kUnready; });
  EXPECT_THAT(monitor_.problem(0), HasSubstr("its name `vllm` cannot be resolved: Host not found"));
  resolver_.find({old_->address()});
  run_until_ready();
  EXPECT_EQ(connect(), "127.0.0.2");
  EXPECT_THAT(news_, ElementsAre("is now at 127.0.0.2 (was unknown)"));
}

TEST_F(NameWatchTest, IsNotTakenForDownBeforeItHasBeenLookedUp) {
  start_old();
  resolver_.find({old_->address()});
  resolver_.fall_silent();
  start();
  run_until([this] { return resolver_.asked().size() == 1 && !monitor_.problem(0).empty(); });
  EXPECT_EQ(monitor_.problem(0), "its name is being looked up");
  EXPECT_EQ(monitor_.health(0), Health::kUnknown);
  resolver_.answer_late();
  run_until_ready();
}

TEST_F(NameWatchTest, ProbesTheAddressesOfOneNameInTurn) {
  start_old();
  start_new("127.0.0.4");
  const asio::ip::tcp::endpoint nobody(asio::ip::make_address("127.0.0.3"), old_->address().port());
  resolver_.find({nobody, new_->address()});
  start();
  run_until_ready();
  EXPECT_EQ(connect(), "127.0.0.4");
}

TEST_F(NameWatchTest, LooksUpOnceMoreWhenAskedToDuringALookUp) {
  start_old();
  resolver_.find({old_->address()});
  resolver_.fall_silent();
  start();
  run_until([this] { return resolver_.asked().size() == 1; });
  names_.look_again();
  io_.poll();
  EXPECT_EQ(resolver_.asked().size(), 1u) << "that one is under way";
  resolver_.answer_late();
  run_until([this] { return resolver_.asked().size() == 2; });
  EXPECT_THAT(resolver_.asked(), ElementsAre("vllm", "vllm"));
}

TEST_F(NameWatchTest, TellsNothingOfOneThatWasRemoved) {
  start_old();
  resolver_.find({old_->address()});
  resolver_.fall_silent();
  start();
  run_until([this] { return resolver_.asked().size() == 1; });
  names_.remove(0);
  resolver_.answer_late();
  names_.doubt(0);
  names_.set_ready(0, true);
  names_.look_again();
  io_.poll();
  EXPECT_TRUE(endpoint_->addresses.empty());
  EXPECT_EQ(resolver_.asked().size(), 1u);
}

TEST(SystemResolver, FindsThisMachine) {
  const LookUp answer = look_up({"localhost", 8000});
  EXPECT_FALSE(answer.error);
  const asio::ip::tcp::endpoint here(asio::ip::address_v4::loopback(), 8000);
  EXPECT_TRUE(contains(answer.found, here));
}

TEST(SystemResolver, TellsOnTheControlThread) {
  asio::io_context io;
  SystemResolver resolver(io);
  std::optional<LookUp> told;
  resolver.look_up({"127.0.0.1", 8000}, [&told](const LookUp& answer) { told = answer; });
  const auto guard = asio::make_work_guard(io);
  while (!told) io.run_one();
  EXPECT_EQ(to_string(told->found), "127.0.0.1");
}

TEST(SystemResolver, TellsNobodyOnceItIsDestroyed) {
  asio::io_context io;
  const auto asker = std::make_shared<int>();
  bool told = false;
  {
    SystemResolver resolver(io);
    resolver.look_up({"127.0.0.1", 8000}, [&told, asker](const LookUp&) { told = true; });
  }
  const bool may_be_told = io.poll() > 0;  // it was faster than the end
  EXPECT_EQ(told, may_be_told);
  while (asker.use_count() > 1) std::this_thread::yield();
  EXPECT_EQ(io.poll(), 0u);
}

}  // namespace
}  // namespace batchproxy
