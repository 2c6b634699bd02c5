// tests/backends/backend_monitor_test.cc - who asks how a backend is, is told once, and what is
// true.
#include "backends/health/backend_monitor.h"

#include <atomic>
#include <optional>
#include <string>
#include <thread>

#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include "backends/registry.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr Duration kDeadline = 20s;

// A server of one model that can fall silent, and go away.
class Server {
 public:
  Server() : acceptor_(io_, {asio::ip::make_address("127.0.0.1"), 0}) {
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() { go_away(); }

  asio::ip::tcp::endpoint address() const { return address_; }
  void fall_silent() { silent_ = true; }
  void load_adapter() { adapter_ = true; }
  void lose_health_page() { no_health_ = true; }
  void ask_for_a_key(bool asks) { guarded_ = asks; }
  void go_away() {
    if (gone_.exchange(true)) return;
    asio::ip::tcp::socket(io_).connect(address_);  // wakes accept()
    thread_.join();
    acceptor_.close();
    kept_.clear();
  }
  int asked_for_health() const { return asked_; }
  int asked_for_models() const { return asked_models_; }

 private:
  void serve() {
    while (true) {
      asio::ip::tcp::socket client = acceptor_.accept();
      if (gone_) return;
      std::string head;
      asio::read_until(client, asio::dynamic_buffer(head), "\r\n\r\n");
      const bool health = head.starts_with("GET /health ");
      if (health) ++asked_;
      const bool models_asked = head.starts_with("GET /v1/models ");
      if (models_asked) ++asked_models_;
      if (silent_) {
        kept_.push_back(std::move(client));
        continue;
      }
      const std::string models =
          adapter_ ? R"({"data":[{"id":"m"},{"id":"lora"}]})" : R"({"data":[{"id":"m"}]})";
      const std::string body = health ? "" : models;
      std::string status = health && no_health_ ? "404 Not Found" : "200 OK";
      if (models_asked && guarded_) status = "401 Unauthorized";
      asio::write(client, asio::buffer("HTTP/1.1 " + status + "\r\ncontent-length: " +
                                       std::to_string(body.size()) + "\r\n\r\n" + body));
    }
  }

  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_;
  const asio::ip::tcp::endpoint address_ = acceptor_.local_endpoint();
  std::atomic<bool> silent_{false}, gone_{false}, adapter_{false}, no_health_{false},
      guarded_{false};
  std::atomic<int> asked_{0}, asked_models_{0};
  std::vector<asio::ip::tcp::socket> kept_;
  std::thread thread_;
};

class BackendMonitorTest : public testing::Test {
 protected:
  BackendMonitorTest() {
    monitor_.add(registry_[0].endpoint);
    monitor_.start();
    // All that it asks when a backend comes up: the server must not be left with half a question.
    run_until([&] { return monitor_.health(0) == Health::kReady && abilities_; });
  }
  ~BackendMonitorTest() override {
    monitor_.stop();
    server_.go_away();
    io_.run_for(kDeadline);  // until what was under way has ended
  }

  BackendRecord made() const {
    Endpoint endpoint;
    endpoint.name = endpoint.authority = "engine";
    endpoint.addresses = {server_.address()};
    BackendRecord backend;
    backend.endpoint = std::make_shared<const Endpoint>(endpoint);
    return backend;
  }
  // What the configuration says it serves is another.
  void configure(std::vector<std::string> names) {
    configured_ = {.any = !names.empty()};
    BackendRecord wanted = made();
    wanted.models = std::move(names);
    registry_.replace({wanted}, [](BackendId) { return true; });
  }
  const ModelTable& models() const { return *registry_.roster()->models(); }

  template <class Condition>
  void run_until(Condition holds) {
    const TimePoint end = std::chrono::steady_clock::now() + kDeadline;
    while (!holds() && std::chrono::steady_clock::now() < end) io_.run_one_for(10ms);
    ASSERT_TRUE(holds());
  }

  void ask() {
    monitor_.look_at(0, [this](bool is_ready) { told_.push_back(is_ready); });
  }
  // A probe is under way that will not be answered, and somebody waits for it.
  void ask_in_vain() {
    server_.fall_silent();
    const int before = server_.asked_for_health();
    ask();
    run_until([&] { return server_.asked_for_health() > before || !told_.empty(); });
    ASSERT_TRUE(told_.empty());
    ask();  // this one waits for the next
  }

  Server server_;
  asio::io_context io_;
  BackendRegistry registry_{{made()}};
  BackendMonitor monitor_{
      io_,
      {.health = 1h, .metrics = 1h},
      {[](BackendId, BackendEvent, const std::string&) {},
       [this](BackendId id, ModelList served) { registry_.set_served(id, std::move(served)); },
       [this](BackendId, const Abilities& abilities) { abilities_ = abilities; },
       [](BackendId, const std::optional<EngineMetrics>&) {},
       [this](BackendId) { return answered_; }, [](BackendId) {},
       [](BackendId, const std::string&) {}, [](BackendId, bool) {},
       [this](BackendId) { return configured_; }}};
  ConfiguredModels configured_;
  std::optional<Abilities> abilities_;  // as told last
  std::uint64_t answered_ = 0;
  std::vector<bool> told_;
};

TEST_F(BackendMonitorTest, LooksWhenAsked) {
  const int before = server_.asked_for_health();
  ask();
  ask();
  run_until([&] { return told_.size() == 2; });
  EXPECT_EQ(told_, std::vector({true, true}));
  EXPECT_GT(server_.asked_for_health(), before);
}

TEST_F(BackendMonitorTest, TakesAnAnsweredRequestForLifeWhenHealthIsSilent) {
  monitor_.set_intervals({.health = 1h, .metrics = 1h, .patience = 0s});
  ask_in_vain();
  answered_ = 1;
  run_until([&] { return told_.size() == 2; });
  EXPECT_EQ(told_, std::vector({true, false}));  // by the second probe it had answered no more
}

TEST_F(BackendMonitorTest, ReadsTheModelsAgainWhenAskedOnceForAll) {
  int done = 0;
  const auto count = [&] { ++done; };
  server_.load_adapter();
  const int before = server_.asked_for_models();
  monitor_.refresh_models(count);
  monitor_.refresh_models(count);  // waits for the same
  run_until([&] { return done == 2; });
  EXPECT_EQ(models().names(), "m, lora");
  EXPECT_EQ(server_.asked_for_models(), before + 1);
}

TEST_F(BackendMonitorTest, FindsWhatABackendServesLaterWhenItLooksAgain) {
  EXPECT_EQ(models().names(), "m");
  server_.load_adapter();
  monitor_.look_again();
  run_until([&] { return models().names() == "m, lora"; });
}

TEST_F(BackendMonitorTest, TakesItsModelsForASignOfLifeOfAServerWithoutHealth) {
  server_.lose_health_page();
  ask();
  run_until([&] { return told_.size() == 1; });
  EXPECT_EQ(told_, std::vector({true}));
}

TEST_F(BackendMonitorTest, TellsWhenABackendBeginsOrCeasesToAskForAKey) {
  EXPECT_FALSE(abilities_->keyed);
  int done = 0;
  server_.ask_for_a_key(true);
  monitor_.look_again();
  run_until([&] { return abilities_->keyed; });
  EXPECT_FALSE(models().find("anything").empty());
  server_.ask_for_a_key(false);
  // Asked for by a request, between two looks.
  run_until([&] {
    if (done == 0) monitor_.refresh_models([&] { ++done; });
    return !abilities_->keyed;
  });
  EXPECT_TRUE(models().find("anything").empty());
}

TEST_F(BackendMonitorTest, GoesByTheConfiguredNamesOfABackendThatTellsNoList) {
  server_.ask_for_a_key(true);
  configure({"judge"});
  EXPECT_EQ(models().names(), "m") << "it has told one";
  monitor_.look_again();
  run_until([&] { return models().names() == "judge" && abilities_->keyed; });
  configure({"jury"});
  EXPECT_EQ(models().names(), "jury");
}

TEST_F(BackendMonitorTest, SaysThatABackendHasGone) {
  server_.go_away();
  ask();
  run_until([&] { return told_.size() == 1; });
  EXPECT_EQ(told_, std::vector({false}));
  EXPECT_NE(monitor_.health(0), Health::kReady);
}

TEST_F(BackendMonitorTest, TellsThoseWhoWaitWhenItIsRetired) {
  ask_in_vain();
  monitor_.retire(0);
  ask();
  run_until([&] { return told_.size() == 3; });
  EXPECT_EQ(told_, std::vector({false, false, false}));
}

// It may be well: nobody shall be blamed for its end.
TEST_F(BackendMonitorTest, TellsThoseWhoWaitWhenItIsRemoved) {
  ask_in_vain();
  monitor_.remove(0);
  ask();
  run_until([&] { return told_.size() == 3; });
  monitor_.stop();
  ask();
  run_until([&] { return told_.size() == 4; });
  EXPECT_EQ(told_, std::vector({true, true, true, true}));
}

TEST_F(BackendMonitorTest, TellsThoseWhoWaitWhenTheWatchEnds) {
  ask_in_vain();
  monitor_.stop();
  ask();
  run_until([&] { return told_.size() == 3; });
  EXPECT_EQ(told_, std::vector({true, true, true}));
}

}  // namespace
}  // namespace batchproxy
