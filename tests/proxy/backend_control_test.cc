// tests/proxy/backend_control_test.cc - what is seen of a backend reaches the data plane and the
// App.
#include "proxy/control/backend_control.h"

#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/loader.h"
#include "proxy/control/topology.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Duration kDeadline = 20s;
// Nobody listens there.
constexpr const char* kNobody = "batchproxy: {backends: [http://127.0.0.1:1]}\n";

Options options_of(const std::string& text) {
  return load({"my.yaml", text, {}, {}}).options;
}

class BackendControlTest : public testing::Test {
 protected:
  void make(std::vector<BackendRecord> backends) {
    BackendControl::Hooks hooks;
    hooks.publish = [this](const RosterPtr& roster) { published_.push_back(roster); };
    hooks.observe = [](BackendId, const std::optional<EngineSample>&) {};
    hooks.answered = [](BackendId) { return std::uint64_t{0}; };
    hooks.in_use = [](BackendId) { return false; };
    hooks.snapshot = [] { return Snapshot(); };
    hooks.have_keys = [] { return false; };
    hooks.announce = [this] { ++looked_whether_to_announce_; };
    hooks.none_started = [this] { none_started_ = true; };
    control_.emplace(io_, options_, std::move(backends), console_, narrator_, std::move(hooks));
  }
  void make_engine() {
    options_.proxy.launcher.restart.value = "never";
    BackendRecord engine = running_servers(options_).front();
    engine.origin = BackendOrigin::kLaunched;
    engine.models = {"m"};
    make({engine});
    EnginePlan plan;
    plan.name = "engine-0";
    plan.argv = {"/bin/true"};
    control_->plan_engines({plan}, {}, {}, "/no/such/batchproxy");
  }
  template <class Condition>
  void run_until(Condition holds) {
    const TimePoint end = std::chrono::steady_clock::now() + kDeadline;
    while (!holds() && std::chrono::steady_clock::now() < end) io_.run_one_for(10ms);
    ASSERT_TRUE(holds());
  }
  const BackendRecord& last(BackendId id) const { return (*published_.back())[id]; }

  asio::io_context io_;
  Options options_ = options_of(kNobody);
  Console console_{options_};
  Narrator narrator_;
  std::vector<RosterPtr> published_;
  int looked_whether_to_announce_ = 0;
  bool none_started_ = false;
  std::optional<BackendControl> control_;
};

TEST_F(BackendControlTest, PublishesThatABackendIsDownAndWhy) {
  make(running_servers(options_));
  control_->start();
  EXPECT_EQ(last(0).state, BackendState::kConfigured);
  run_until([&] { return last(0).state == BackendState::kUnready; });
  EXPECT_THAT(last(0).why, HasSubstr("refused"));
  EXPECT_EQ(looked_whether_to_announce_, 1);
}

TEST_F(BackendControlTest, ReplacesServersByAReload) {
  make(running_servers(options_));
  control_->start();
  const auto lines =
      control_->replace(options_of("batchproxy: {backends: [http://127.0.0.1:2]}\n"));
  EXPECT_THAT(lines, ElementsAre("127.0.0.1:2 is new", "127.0.0.1:1 gets no more requests"));
  EXPECT_EQ(last(0).state, BackendState::kDraining);
  EXPECT_EQ(last(1).state, BackendState::kConfigured);
  run_until([&] { return last(1).state == BackendState::kUnready; });
  EXPECT_EQ(last(0).state, BackendState::kDraining);
}

TEST_F(BackendControlTest, AnEngineIsStartingUntilTheLauncherKnowsMore) {
  make_engine();
  control_->start();
  EXPECT_EQ(last(0).state, BackendState::kStarting);
  EXPECT_FALSE(published_.back()->models()->complete());
}

TEST_F(BackendControlTest, SaysThatNoneHasStartedWhenTheLastHasFailed) {
  make_engine();
  control_->start();
  run_until([&] { return none_started_; });
  EXPECT_EQ(last(0).state, BackendState::kFailed);
  EXPECT_EQ(last(0).why, "it has ended");
  EXPECT_TRUE(published_.back()->models()->complete()) << "it will not name more";
  EXPECT_FALSE(published_.back()->models()->find("m").empty()) << "its requests wait";
}

TEST_F(BackendControlTest, AnEngineThatFailsWhileWeStopIsNoReasonToStop) {
  make_engine();
  narrator_.stop_serving(TimePoint());
  control_->start();
  run_until([&] { return last(0).state == BackendState::kFailed; });
  EXPECT_FALSE(none_started_);
}

}  // namespace
}  // namespace batchproxy
