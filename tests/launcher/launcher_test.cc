// tests/launcher/launcher_test.cc - engines from start to stop, with shell scripts as engines.
#include "launcher/launcher.h"

#include <chrono>
#include <csignal>
#include <optional>
#include <set>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "tests/launcher/process_probe.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr const char* kRunForever = "echo $$ > $PIDS; while :; do sleep 1000; done";

struct Failure {
  std::string reason;
  std::vector<std::string> lines;
};

class LauncherTest : public testing::Test, public LauncherEvents {
 protected:
  LauncherTest() { options_.proxy.launcher.stagger.value = Seconds(0); }

  void add_engine(const std::string& script) {
    EnginePlan plan;
    plan.index = static_cast<int>(plans_.size());
    plan.name = "engine-" + std::to_string(plan.index);
    plan.argv = {"/bin/sh", "-c", script};
    plan.log_file = directory_.file(plan.name + ".log");
    plans_.push_back(std::move(plan));
  }

  Launcher& start() {
    LauncherHooks hooks;
    hooks.events = this;
    hooks.probe = [this](const EnginePlan& plan, std::function<void(bool)> answer) {
      answer(answering_.contains(plan.index));
    };
    hooks.self_executable = LAUNCHER_SHIM;
    hooks.inherited = {{"PATH", "/usr/bin:/bin"}, {"PIDS", pids_.path()}};
    hooks.probe_interval = Seconds(0.005);
    launcher_.emplace(io_, options_, plans_, hooks);
    launcher_->start();
    return *launcher_;
  }

  // Runs the loop until `condition` holds.
  template <class Condition>
  void run_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!condition() && std::chrono::steady_clock::now() < deadline) io_.run_one_for(1s);
    ASSERT_TRUE(condition());
  }

  void stop() {
    bool is_done = false;
    launcher_->stop([&] { is_done = true; });
    run_until([&] { return is_done; });
  }

  void on_started(int index, pid_t pid) override {
    if (started_.empty()) first_pid_ = pid;
    started_.insert(index);
  }
  void on_stage(int, const std::string& text) override { stages_.push_back(text); }
  void on_ready(int index, double) override {
    EXPECT_TRUE(started_.contains(index));
    ready_.insert(index);
  }
  void on_failed(int, const std::string& reason, const std::vector<std::string>& lines) override {
    failures_.push_back({reason, lines});
  }
  void on_exited(int, const std::string& description) override { exits_.push_back(description); }

  TemporaryDirectory directory_;
  PidPipe pids_{directory_.file("pids")};
  boost::asio::io_context io_;
  Options options_;
  std::vector<EnginePlan> plans_;
  std::set<int> answering_;
  std::optional<Launcher> launcher_;

  pid_t first_pid_ = 0;
  std::set<int> started_;
  std::vector<std::string> stages_;
  std::set<int> ready_;
  std::vector<Failure> failures_;
  std::vector<std::string> exits_;
};

TEST_F(LauncherTest, ReportsEnginesReadyWhenTheProbeSaysSo) {
  add_engine(kRunForever);
  add_engine(kRunForever);
  start();
  answering_ = {1};
  run_until([&] { return ready_.contains(1) && started_.size() == 2; });
  EXPECT_FALSE(ready_.contains(0));
  answering_ = {0, 1};
  run_until([&] { return ready_.size() == 2; });
  stop();
  EXPECT_TRUE(failures_.empty());
  EXPECT_TRUE(exits_.empty());
}

TEST_F(LauncherTest, TellsTheStagesOfTheLog) {
  add_engine("echo 'Starting to load model m...'; echo 'Model loading took 1.0 GiB'; sleep 1000");
  start();
  run_until([&] { return !stages_.empty() && stages_.back() == "weights loaded"; });
  stop();
}

TEST_F(LauncherTest, AnEngineThatEndsWhileStartingHasFailedWithItsLastLines) {
  add_engine("for i in 1 2 3 4 5 6 7 8 9; do echo a $i; echo b $i; echo c $i; done; exit 2");
  start();
  run_until([&] { return !failures_.empty(); });
  EXPECT_NE(failures_[0].reason.find("exit code 2"), std::string::npos) << failures_[0].reason;
  ASSERT_EQ(failures_[0].lines.size(), 20u);
  EXPECT_EQ(failures_[0].lines.back(), "c 9");
  EXPECT_TRUE(exits_.empty());
  stop();
}

TEST_F(LauncherTest, AnEngineThatIsNotReadyInTimeIsTakenDown) {
  options_.worker.server_startup_timeout.value = Seconds(0.2);
  add_engine("echo 'Starting to load model m...'; " + std::string(kRunForever));
  start();
  run_until([&] { return !started_.empty(); });
  const auto tree = pids_.read_processes(1);
  run_until([&] { return !failures_.empty(); });
  EXPECT_NE(failures_[0].reason.find("server_startup_timeout"), std::string::npos);
  EXPECT_NE(failures_[0].reason.find("last seen: loading weights"), std::string::npos);
  EXPECT_TRUE(tree[0].wait_until_ended());
  stop();
  EXPECT_EQ(failures_.size(), 1u);
}

TEST_F(LauncherTest, AnEngineThatEndsLaterHasExited) {
  add_engine(kRunForever);
  answering_ = {0};
  start();
  run_until([&] { return !ready_.empty(); });
  ASSERT_GT(first_pid_, 0);
  kill(first_pid_, SIGKILL);
  run_until([&] { return !exits_.empty(); });
  EXPECT_EQ(exits_, std::vector<std::string>{"killed by SIGKILL"});
  EXPECT_TRUE(failures_.empty());
  stop();
}

TEST_F(LauncherTest, AnEngineWithoutShimHasFailed) {
  add_engine(kRunForever);
  LauncherHooks hooks;
  hooks.events = this;
  hooks.self_executable = "/no/such/batchproxy";
  launcher_.emplace(io_, options_, plans_, hooks);
  launcher_->start();
  run_until([&] { return !failures_.empty(); });
  EXPECT_NE(failures_[0].reason.find("/no/such/batchproxy"), std::string::npos);
  stop();
}

TEST_F(LauncherTest, StopBeforeTheSecondStartNeverStartsIt) {
  options_.proxy.launcher.stagger.value = Seconds(3600);
  add_engine(kRunForever);
  add_engine(kRunForever);
  start();
  run_until([&] { return !started_.empty(); });
  stop();
  EXPECT_EQ(started_, std::set<int>{0});
}

TEST_F(LauncherTest, SimulatedEnginesStartWithoutStagger) {
  options_.proxy.launcher.stagger.value = Seconds(3600);
  options_.proxy.launcher.engine.value = "sim";
  add_engine(kRunForever);
  add_engine(kRunForever);
  start();
  run_until([&] { return started_.size() == 2; });
  stop();
}

TEST_F(LauncherTest, KillNowEndsAStopThatWaitsForAStubbornEngine) {
  options_.proxy.launcher.stop_timeout.value = Seconds(3600);
  add_engine("trap '' TERM; " + std::string(kRunForever));
  start();
  run_until([&] { return !started_.empty(); });
  const auto tree = pids_.read_processes(1);
  bool is_done = false;
  launcher_->stop([&] { is_done = true; });
  launcher_->kill_now();
  run_until([&] { return is_done; });
  EXPECT_TRUE(tree[0].wait_until_ended());
}

TEST_F(LauncherTest, AProbeMayAnswerAfterTheLauncherIsGone) {
  add_engine(kRunForever);
  std::function<void(bool)> late;
  LauncherHooks hooks;
  hooks.events = this;
  hooks.probe = [&](const EnginePlan&, std::function<void(bool)> answer) {
    late = std::move(answer);
  };
  hooks.self_executable = LAUNCHER_SHIM;
  hooks.inherited = {{"PATH", "/usr/bin:/bin"}, {"PIDS", pids_.path()}};
  hooks.probe_interval = Seconds(0.005);
  launcher_.emplace(io_, options_, plans_, hooks);
  launcher_->start();
  run_until([&] { return late != nullptr; });
  const auto tree = pids_.read_processes(1);
  launcher_.reset();
  late(true);
  EXPECT_TRUE(tree[0].wait_until_ended());
  io_.run_for(20s);
  EXPECT_TRUE(ready_.empty());
}

TEST_F(LauncherTest, StopWithoutStartIsDone) {
  add_engine(kRunForever);
  LauncherHooks hooks;
  hooks.events = this;
  launcher_.emplace(io_, options_, plans_, hooks);
  stop();
}

}  // namespace
}  // namespace batchproxy
