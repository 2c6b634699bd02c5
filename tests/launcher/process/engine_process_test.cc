// tests/launcher/process/engine_process_test.cc - real shims over real, and nasty, process trees.
#include "launcher/process/engine_process.h"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>

#include "tests/launcher/process/process_probe.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

// In a tree of three: the leader, a child in its group, and a grandchild in a session of its own.
// All ignore SIGTERM; each writes its pid to $PIDS once it does.
constexpr const char* kStubbornTree =
    "trap '' TERM INT HUP\n"
    "stay() { sh -c 'echo $$ > $PIDS; while :; do sleep 1000; done'; }\n"
    "stay &\n"
    "setsid sh -c 'setsid sh -c \"echo \\$\\$ > \\$PIDS; while :; do sleep 1000; done\" & exit 0' "
    "&\n"
    "echo $$ > $PIDS\n"
    "wait; wait; sleep 1000";

// Field `index` of /proc/PID/stat: 2 is the state, 3 the parent.
std::string stat_field(pid_t pid, int index) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string field;
  for (int i = 0; i <= index; ++i) stat >> field;
  return field;
}

// For what the kernel tells nobody about: looks again until `condition` holds or time is up.
template <class Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!condition() && std::chrono::steady_clock::now() < deadline) sched_yield();
  return condition();
}

class EngineProcessTest : public testing::Test {
 protected:
  EngineCommand command(std::vector<std::string> argv, Seconds stop_timeout = Seconds(30)) {
    EngineCommand command;
    command.shim_executable = LAUNCHER_SHIM;
    command.argv = std::move(argv);
    command.environment = {{"PATH", "/usr/bin:/bin"}, {"PIDS", pids_.path()}};
    command.log_file = log_;
    command.stop_timeout = stop_timeout;
    return command;
  }

  EngineCommand shell(const std::string& script, Seconds stop_timeout = Seconds(30)) {
    return command({"/bin/sh", "-c", script}, stop_timeout);
  }

  EngineHooks hooks() {
    return {[this](pid_t pid) { pid_ = pid; }, [this](const EngineEnd& end) { exit_ = end.how; },
            [this] { is_gone_ = true; }};
  }

  void run_until_gone() {
    io_.run_for(20s);
    ASSERT_TRUE(is_gone_);
  }

  std::string log_text() const {
    std::ostringstream text;
    text << std::ifstream(log_).rdbuf();
    return text.str();
  }

  std::vector<std::string> lines_with(const std::string& word) const {
    std::vector<std::string> found;
    std::ifstream log(log_);
    for (std::string line; std::getline(log, line);) {
      if (line.find(word) != std::string::npos) found.push_back(line);
    }
    return found;
  }

  static void expect_all_ended(const std::vector<ProcessProbe>& processes) {
    for (const ProcessProbe& process : processes) EXPECT_TRUE(process.wait_until_ended());
  }

  TemporaryDirectory directory_;
  const std::string log_ = directory_.file("logs/engine-0.log");
  PidPipe pids_{directory_.file("pids")};
  boost::asio::io_context io_;
  EngineProcess process_{io_.get_executor(), hooks()};
  pid_t pid_ = 0;
  std::string exit_;
  bool is_gone_ = false;
};

TEST_F(EngineProcessTest, ReportsPidExitAndGone) {
  ASSERT_FALSE(process_.start(shell("exit 3")));
  run_until_gone();
  EXPECT_GT(pid_, 0);
  EXPECT_EQ(exit_, "exit code 3");
}

TEST_F(EngineProcessTest, WritesBothOutputsToTheLogAndAppends) {
  std::filesystem::create_directories(directory_.file("logs"));
  std::ofstream(log_) << "earlier\n";
  ASSERT_FALSE(process_.start(shell("echo out; echo err >&2; cat")));
  run_until_gone();
  EXPECT_EQ(log_text(), "earlier\nout\nerr\n");
  EXPECT_EQ(exit_, "exit code 0");  // stdin was empty, so cat ended
}

TEST_F(EngineProcessTest, GivesTheEngineExactlyItsEnvironment) {
  EngineCommand env = command({"/usr/bin/env"});
  env.environment = {{"A", "1 2"}, {"B", ""}};
  ASSERT_FALSE(process_.start(env));
  run_until_gone();
  EXPECT_EQ(log_text(), "A=1 2\nB=\n");
}

TEST_F(EngineProcessTest, LetsTheEngineInheritNoDescriptors) {
  const int leak = open("/dev/zero", O_RDONLY);  // without close-on-exec, as Asio's sockets are
  ASSERT_FALSE(process_.start(shell("ls -l /proc/$$/fd")));
  run_until_gone();
  close(leak);
  EXPECT_EQ(log_text().find("/dev/zero"), std::string::npos) << log_text();
  EXPECT_EQ(log_text().find("socket:"), std::string::npos) << log_text();
  // Its stdout and stderr, which lead to the shim.
  EXPECT_EQ(std::ranges::count(lines_with("pipe:"), true,
                               [](const std::string& line) {
                                 return line.find(" 1 -> ") != std::string::npos ||
                                        line.find(" 2 -> ") != std::string::npos;
                               }),
            std::ssize(lines_with("pipe:")))
      << log_text();
}

TEST_F(EngineProcessTest, GivesTheEngineFreshSignals) {
  signal(SIGUSR1, SIG_IGN);
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  const auto error =
      process_.start(command({"/bin/grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"}));
  sigprocmask(SIG_SETMASK, &before, nullptr);
  signal(SIGUSR1, SIG_DFL);
  ASSERT_FALSE(error);
  run_until_gone();
  std::istringstream masks(log_text());
  std::string name;
  // glibc keeps signals 32 and 33 for itself, and sets them when it needs them.
  for (std::uint64_t mask = 0; masks >> name >> std::hex >> mask;) {
    EXPECT_EQ(mask & ~std::uint64_t{0x180000000}, 0u) << name;
  }
  EXPECT_EQ(name, "SigIgn:");
}

TEST_F(EngineProcessTest, ReportsAProgramThatCannotBeExecuted) {
  ASSERT_FALSE(process_.start(command({"/no/such/program"})));
  run_until_gone();
  EXPECT_EQ(pid_, 0);
  EXPECT_EQ(exit_, "could not be started: No such file or directory");
}

TEST_F(EngineProcessTest, ReportsALogThatCannotBeWritten) {
  EngineCommand engine = shell("exit 0");
  engine.log_file = "/proc/no/engine.log";
  ASSERT_FALSE(process_.start(engine));
  run_until_gone();
  EXPECT_EQ(exit_.rfind("could not be started: cannot write the log file /proc/no/engine.log", 0),
            0u)
      << exit_;
}

TEST_F(EngineProcessTest, SaysWhenTheShimItselfIsMissing) {
  EngineCommand engine = shell("exit 0");
  engine.shim_executable = "/no/such/batchproxy";
  const auto error = process_.start(engine);
  ASSERT_TRUE(error);
  EXPECT_NE(error->find("/no/such/batchproxy"), std::string::npos);
}

TEST_F(EngineProcessTest, StopLetsTheEngineEndByItself) {
  ASSERT_FALSE(process_.start(
      shell("trap 'echo bye; exit 7' TERM; echo $$ > $PIDS; while :; do sleep 1000 & wait; done")));
  const auto tree = pids_.read_processes(1);
  process_.stop();
  run_until_gone();
  EXPECT_EQ(exit_, "exit code 7");
  EXPECT_EQ(log_text(), "bye\n");
}

TEST_F(EngineProcessTest, StopWakesAStoppedEngine) {
  ASSERT_FALSE(process_.start(
      shell("trap 'exit 7' TERM; echo $$ > $PIDS; while :; do sleep 1000 & wait; done")));
  const auto tree = pids_.read_processes(1);
  io_.run_one_for(20s);
  ASSERT_GT(pid_, 0);
  kill(pid_, SIGSTOP);
  ASSERT_TRUE(eventually([this] { return stat_field(pid_, 2) == "T"; }));
  process_.stop();
  run_until_gone();
  EXPECT_EQ(exit_, "exit code 7");
}

TEST_F(EngineProcessTest, StopKillsAStubbornTreeAfterTheTimeout) {
  ASSERT_FALSE(process_.start(shell(kStubbornTree, Seconds(0.1))));
  const auto tree = pids_.read_processes(3);
  process_.stop();
  run_until_gone();
  EXPECT_EQ(exit_, "killed by SIGKILL");
  expect_all_ended(tree);
}

TEST_F(EngineProcessTest, KillDoesNotWaitForTheTimeout) {
  ASSERT_FALSE(process_.start(shell(kStubbornTree, Seconds(3600))));
  const auto tree = pids_.read_processes(3);
  process_.stop();
  process_.kill();
  run_until_gone();
  expect_all_ended(tree);
}

TEST_F(EngineProcessTest, AnEngineThatEndsTakesItsDescendantsAlong) {
  ASSERT_FALSE(process_.start(shell(kStubbornTree, Seconds(3600))));
  const auto tree = pids_.read_processes(3);
  io_.run_one_for(20s);  // the shim's report of the pid
  ASSERT_GT(pid_, 0);
  kill(pid_, SIGKILL);
  run_until_gone();
  EXPECT_EQ(exit_, "killed by SIGKILL");
  expect_all_ended(tree);
}

TEST_F(EngineProcessTest, DestructionStopsTheTree) {
  auto other = std::make_unique<EngineProcess>(io_.get_executor(), hooks());
  ASSERT_FALSE(other->start(shell(kStubbornTree, Seconds(0))));
  const auto tree = pids_.read_processes(3);
  other.reset();
  expect_all_ended(tree);
  io_.run_for(20s);
  EXPECT_TRUE(exit_.empty());
  EXPECT_FALSE(is_gone_);
}

TEST_F(EngineProcessTest, AKilledShimTakesTheLeaderAndItsGroupAlong) {
  ASSERT_FALSE(
      process_.start(shell("sh -c 'echo $PPID > $PIDS' &\n"
                           "sh -c 'echo $$ > $PIDS; while :; do sleep 1000; done' &\n"
                           "wait; wait")));
  const auto tree = pids_.read_processes(2);
  io_.run_one_for(20s);
  const pid_t shim = std::stoi(stat_field(pid_, 3));
  ASSERT_GT(shim, 1);
  kill(shim, SIGKILL);
  run_until_gone();
  EXPECT_EQ(exit_, "its supervising shim process was killed");
  expect_all_ended(tree);
}

// A process in the launcher's place, so that it can be killed like one.
pid_t fork_launcher(const EngineCommand& command) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  boost::asio::io_context io;
  EngineProcess process(io.get_executor(), {});
  if (process.start(command)) _exit(1);
  io.run();
  _exit(0);
}

TEST_F(EngineProcessTest, NoProcessOutlivesALauncherThatIsKilled) {
  const pid_t launcher = fork_launcher(shell(kStubbornTree, Seconds(0.1)));
  const auto tree = pids_.read_processes(3);
  for (const ProcessProbe& process : tree) ASSERT_TRUE(process.is_running());
  kill(launcher, SIGKILL);
  waitpid(launcher, nullptr, 0);
  expect_all_ended(tree);
}

TEST_F(EngineProcessTest, ChangedEnvironmentUnsetsAndThenSets) {
  EXPECT_EQ(changed_environment({{"A", "1"}, {"B", "2"}, {"C", "3"}},
                                {{{"B", "new"}, {"D", "4"}}, {"A", "B"}}),
            (Environment{{"B", "new"}, {"C", "3"}, {"D", "4"}}));
}

}  // namespace
}  // namespace batchproxy
