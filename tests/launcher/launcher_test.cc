// tests/launcher/launcher_test.cc - engines from start to stop, with shell scripts as engines.
#include "launcher/launcher.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

#include "tests/launcher/process/process_probe.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

constexpr const char* kRunForever = "echo $$ > $PIDS; while :; do sleep 1000; done";

struct Failure {
  std::string reason;
  std::vector<std::string> lines;
  std::vector<std::string> findings;
  NextStart next;
};

class LauncherTest : public testing::Test, public LauncherEvents {
 protected:
  LauncherTest() { options_.proxy.launcher.stagger.value = Seconds(0); }

  void add_engine(const std::string& script) {
    EnginePlan plan;
    plan.backend = static_cast<BackendId>(plans_.size());
    plan.name = "engine-" + std::to_string(plan.backend);
    plan.argv = {"/bin/sh", "-c", script};
    plan.log_file = directory_.file(plan.name + ".log");
    plans_.push_back(std::move(plan));
  }

  LauncherHooks hooks() {
    LauncherHooks hooks;
    hooks.events = this;
    hooks.state = [this](BackendId engine) { return states_[engine]; };
    hooks.answers = [this](BackendId engine) { return answering_.contains(engine); };
    hooks.self_executable = LAUNCHER_SHIM;
    hooks.inherited = {{"PATH", "/usr/bin:/bin"}, {"PIDS", pids_.path()}};
    hooks.look_interval = Seconds(0.005);
    return hooks;
  }

  void start(const LauncherHooks& hooks) {
    for (const EnginePlan& plan : plans_) apply(plan.backend, BackendEvent::kLaunched);
    launcher_.emplace(io_, options_, plans_, hooks);
    launcher_->start();
  }
  void start() { start(hooks()); }

  // Runs the loop until `condition` holds.
  template <class Condition>
  void run_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      if (io_.stopped()) io_.restart();  // it had nothing to wait for
      io_.run_one_for(1s);
    }
    ASSERT_TRUE(condition());
  }

  void stop() {
    bool is_done = false;
    launcher_->stop([&] { is_done = true; });
    run_until([&] { return is_done; });
  }

  // As the registry keeps them.
  void apply(BackendId engine, BackendEvent event) {
    states_[engine] = next(states_[engine], event);
  }

  void on_starting(BackendId engine) override {
    ready_.erase(engine);
    apply(engine, BackendEvent::kLaunched);
  }
  void on_started(BackendId engine, pid_t pid) override {
    if (started_.empty()) first_pid_ = pid;
    ++starts_;
    started_.insert(engine);
  }
  void on_placed(BackendId, const EnginePlace&) override {}
  void on_stage(BackendId, const std::string& text) override { stages_.push_back(text); }
  void on_ready(BackendId engine, double) override {
    EXPECT_TRUE(started_.contains(engine));
    EXPECT_TRUE(ready_.insert(engine).second) << "said twice";
    apply(engine, BackendEvent::kCameUp);
  }
  void on_delay(BackendId, const std::string& text) override { delays_.push_back(text); }
  void on_remark(BackendId, const std::string& sentence) override { remarks_.push_back(sentence); }
  void on_failed(BackendId engine, const EngineFailure& failure, NextStart next) override {
    apply(engine, next ? BackendEvent::kRestartPlanned : BackendEvent::kGivenUp);
    failures_.push_back({failure.how, failure.last_lines, failure.findings, next});
  }
  void on_exited(BackendId engine, const EngineFailure& failure, NextStart next) override {
    apply(engine, next ? BackendEvent::kRestartPlanned : BackendEvent::kExited);
    exits_.push_back(failure.how);
  }
  void on_stopped(BackendId engine, const std::string& doubt) override {
    EXPECT_EQ(doubt, "") << "its shim proves it";
    stopped_.insert(engine);
  }

  TemporaryDirectory directory_;
  PidPipe pids_{directory_.file("pids")};
  boost::asio::io_context io_;
  Options options_;
  std::vector<EnginePlan> plans_;
  std::set<BackendId> answering_;
  std::map<BackendId, BackendState> states_;
  std::optional<Launcher> launcher_;

  pid_t first_pid_ = 0;
  int starts_ = 0;
  std::vector<std::string> delays_;
  std::vector<std::string> remarks_;
  std::set<BackendId> stopped_;
  std::set<BackendId> started_;
  std::vector<std::string> stages_;
  std::set<BackendId> ready_;
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
  options_.worker.server_startup_timeout.value = Seconds(2);
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

TEST_F(LauncherTest, AnEngineThatEndsIsStartedAgain) {
  add_engine(kRunForever);
  answering_ = {0};
  start();
  run_until([&] { return !ready_.empty(); });
  kill(first_pid_, SIGKILL);
  run_until([&] { return !exits_.empty(); });
  EXPECT_EQ(states_[0], BackendState::kRestarting);
  answering_ = {};
  run_until([&] { return starts_ == 2; });
  EXPECT_FALSE(ready_.contains(0)) << "it has to come up first";
  answering_ = {0};
  run_until([&] { return ready_.contains(0); });
  EXPECT_EQ(launcher_->restarts(0), 1);
  stop();
}

TEST_F(LauncherTest, ARestartWaitsUntilNoProcessOfTheLastRunIsLeft) {
  // A child that hears no SIGTERM and has left the group.
  add_engine(
      "setsid sh -c 'trap \"\" TERM; echo $$ > $PIDS; while :; do sleep 1000; done' & "
      "sleep 1000");
  answering_ = {0};
  start();
  run_until([&] { return !ready_.empty(); });
  const auto children = pids_.read_processes(1);
  launcher_->restart_engine(0);
  apply(0, BackendEvent::kRestartPlanned);
  run_until([&] { return starts_ == 2; });
  EXPECT_FALSE(children[0].is_running());
  stop();
}

TEST_F(LauncherTest, AnEngineThatNeverComesUpIsGivenUp) {
  options_.proxy.launcher.restart.value = "never";
  add_engine("exit 1");
  start();
  run_until([&] { return !failures_.empty(); });
  EXPECT_EQ(failures_[0].next, std::nullopt);
  EXPECT_EQ(states_[0], BackendState::kFailed);
  launcher_->restart_engine(0);
  run_until([&] { return failures_.size() == 2; });
  stop();
}

TEST_F(LauncherTest, OneThatRefusesItsCommandLineIsNotStartedAgain) {
  add_engine("exit 2");
  start();
  run_until([&] { return !failures_.empty(); });
  EXPECT_EQ(failures_[0].next, std::nullopt);
  stop();
}

TEST_F(LauncherTest, AnEngineIsStoppedAndStartedByOrder) {
  add_engine(kRunForever);
  answering_ = {0};
  start();
  run_until([&] { return !ready_.empty(); });
  launcher_->stop_engine(0);
  apply(0, BackendEvent::kStopAsked);
  run_until([&] { return stopped_.contains(0); });
  EXPECT_TRUE(exits_.empty()) << "it was asked to end";
  ready_.clear();
  launcher_->restart_engine(0);
  run_until([&] { return ready_.contains(0); });
  EXPECT_EQ(starts_, 2);
  stop();
}

TEST_F(LauncherTest, AnEngineThatIsAsGoodAsDeadIsKilledAndStartedAgain) {
  add_engine("trap '' TERM; " + std::string(kRunForever));
  answering_ = {0};
  start();
  run_until([&] { return !ready_.empty(); });
  launcher_->give_up_on(0, "no sign of life");
  EXPECT_EQ(exits_, std::vector<std::string>{"no sign of life"});
  run_until([&] { return starts_ == 2; });
  EXPECT_EQ(exits_.size(), 1u) << "its end is told once";
  stop();
}

// vLLM hears no SIGTERM while it loads, and has nothing to finish.
TEST_F(LauncherTest, AnEngineThatLoadsIsNotGivenTheWholeStopTimeout) {
  options_.proxy.launcher.stop_timeout.value = Seconds(3600);
  add_engine("trap '' TERM; " + std::string(kRunForever));
  start();
  run_until([&] { return !started_.empty(); });
  stop();
}

TEST_F(LauncherTest, AStartWaitsForTheMemoryOfItsGpus) {
  add_engine(kRunForever);
  plans_[0].gpus = {Gpu(0)};
  answering_ = {0};
  constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
  std::uint64_t free = 79 * kGiB;
  LauncherHooks with_driver = hooks();
  with_driver.free_memory = [&](const Gpus&) { return std::optional(free); };
  start(with_driver);
  run_until([&] { return !ready_.empty(); });
  free = 10 * kGiB;
  kill(first_pid_, SIGKILL);
  run_until([&] { return !stages_.empty(); });
  EXPECT_EQ(stages_.back(), "waiting for GPU memory: 10.0 of 79.0 GiB are free again");
  EXPECT_EQ(starts_, 1);
  free = 79 * kGiB;
  run_until([&] { return starts_ == 2; });
  stop();
}

TEST_F(LauncherTest, AStartOnOtherGpusWaitsForNoMemoryOfTheOldOnes) {
  ::setenv("XDG_STATE_HOME", directory_.file("state").c_str(), 1);
  add_engine("[ $CUDA_VISIBLE_DEVICES = 1 ] && { " + std::string(kRunForever) +
             "; }; echo 'ValueError: Free memory on device cuda:0 (10.87/79.19 GiB) on startup is "
             "less than desired GPU memory utilization (0.9, 71.27 GiB).'; exit 1");
  plans_[0].argv.insert(plans_[0].argv.end(), {"--gpu-memory-utilization", "0.9"});
  plans_[0].gpus = {Gpu(0)};
  plans_[0].environment.set["CUDA_VISIBLE_DEVICES"] = "0";
  answering_ = {0};
  Mechanic mechanic(options_, {}, {.gpus = {Gpu(1)}});
  LauncherHooks with_driver = hooks();
  with_driver.answers = [this](BackendId) { return starts_ == 3; };
  with_driver.mechanic = &mechanic;
  with_driver.free_memory = [](const Gpus& gpus) {
    return std::optional(std::uint64_t{gpus == Gpus{0} ? 79U : 40U} << 30);
  };
  start(with_driver);
  run_until([&] { return !ready_.empty(); });
  EXPECT_EQ(starts_, 3) << "as it was, once more, and moved";
  EXPECT_EQ(launcher_->plan(0).gpus, Gpus{1});
  EXPECT_EQ(stages_, std::vector<std::string>{});
  stop();
  ::unsetenv("XDG_STATE_HOME");
}

TEST_F(LauncherTest, AStartWaitsWhileAnotherProgramListensAtItsPort) {
  boost::asio::ip::tcp::acceptor stranger(io_, {boost::asio::ip::address_v4::loopback(), 0});
  add_engine(kRunForever);
  plans_[0].port = stranger.local_endpoint().port();
  answering_ = {0};
  start();
  run_until([&] { return !stages_.empty(); });
  EXPECT_NE(stages_.back().find("where another program listens"), std::string::npos);
  EXPECT_EQ(starts_, 0) << "whatever answers there is not ours";
  stranger.close();
  run_until([&] { return ready_.contains(0); });
  stop();
}

TEST_F(LauncherTest, AnEngineWithoutShimHasFailed) {
  add_engine(kRunForever);
  LauncherHooks without = hooks();
  without.self_executable = "/no/such/batchproxy";
  start(without);
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
  EXPECT_EQ(started_, std::set<BackendId>{0});
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
  answering_ = {0};
  start();
  run_until([&] { return !ready_.empty(); });
  const auto tree = pids_.read_processes(1);
  bool is_done = false;
  launcher_->stop([&] { is_done = true; });
  launcher_->kill_now();
  run_until([&] { return is_done; });
  EXPECT_TRUE(tree[0].wait_until_ended());
}

TEST_F(LauncherTest, ATimerMayEndAfterTheLauncherIsGone) {
  add_engine(kRunForever);
  start();
  run_until([&] { return !started_.empty(); });
  const auto tree = pids_.read_processes(1);
  launcher_.reset();
  answering_ = {0};
  EXPECT_TRUE(tree[0].wait_until_ended());
  io_.run_for(20s);
  EXPECT_TRUE(ready_.empty());
}

TEST_F(LauncherTest, LooksAtOnceAtAnEngineThatMayAnswer) {
  add_engine(kRunForever);
  LauncherHooks patient = hooks();
  patient.look_interval = Seconds(3600);
  start(patient);
  run_until([&] { return !started_.empty(); });
  launcher_->look_at(0);
  EXPECT_TRUE(ready_.empty()) << "nobody answers";
  answering_ = {0};
  launcher_->look_at(0);
  EXPECT_EQ(ready_, std::set<BackendId>{0});
  launcher_->look_at(0);  // says nothing twice
  stop();
}

TEST_F(LauncherTest, AnswersOnTheEnginesPortBeforeItRunsAreSomebodyElses) {
  options_.proxy.launcher.stagger.value = Seconds(3600);
  add_engine(kRunForever);
  add_engine(kRunForever);
  start();
  answering_ = {1};
  run_until([&] { return !started_.empty(); });
  launcher_->look_at(1);
  EXPECT_FALSE(ready_.contains(1));
  stop();
}

TEST_F(LauncherTest, StopWithoutStartIsDone) {
  add_engine(kRunForever);
  launcher_.emplace(io_, options_, plans_, hooks());
  stop();
}

}  // namespace
}  // namespace batchproxy
