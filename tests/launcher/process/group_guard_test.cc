// tests/launcher/process/group_guard_test.cc - groups of processes that end with their owner.
#include "launcher/process/group_guard.h"

#include <csignal>
#include <optional>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace batchproxy {
namespace {

class GroupGuardTest : public testing::Test {
 protected:
  GroupGuardTest() { guard_.emplace(LAUNCHER_SHIM, Seconds(0.1)); }
  ~GroupGuardTest() override {
    for (const pid_t pid : left_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }

  // A process with a group of its own, which waits for its end.
  pid_t start(bool hears_sigterm) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setsid();
      ::signal(SIGTERM, hears_sigterm ? SIG_DFL : SIG_IGN);
      for (;;) ::pause();
    }
    ::setpgid(pid, pid);  // whoever is first
    return pid;
  }
  void note(pid_t group, bool is_guarded) {
    GuardNote{group, is_guarded ? 1 : 0}.write(guard_->descriptor());
  }
  // As if we died.
  void die() { guard_.reset(); }

  static int signal_that_ended(pid_t pid) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

  std::optional<GroupGuard> guard_;
  std::vector<pid_t> left_;
};

TEST_F(GroupGuardTest, EndsItsGroupsWhenItsOwnerDies) {
  const pid_t good = start(true), deaf = start(false);
  note(good, true);
  note(deaf, true);
  EXPECT_EQ(::waitpid(good, nullptr, WNOHANG), 0);
  die();
  EXPECT_EQ(signal_that_ended(good), SIGTERM);
  EXPECT_EQ(signal_that_ended(deaf), SIGKILL);
}

TEST_F(GroupGuardTest, LeavesAloneWhatIsGuardedNoMore) {
  const pid_t other = start(true), guarded = start(true);
  left_.push_back(other);
  note(other, true);
  note(guarded, true);
  note(other, false);
  die();
  EXPECT_EQ(signal_that_ended(guarded), SIGTERM);
  EXPECT_EQ(::waitpid(other, nullptr, WNOHANG), 0) << "it runs";
}

TEST_F(GroupGuardTest, IsNoneWithoutAProgram) {
  EXPECT_EQ(GroupGuard("", Seconds(1)).descriptor(), -1);
  EXPECT_EQ(GroupGuard("/no/such/program", Seconds(1)).descriptor(), -1);
  GuardNote{1234}.write(-1);
}

}  // namespace
}  // namespace batchproxy
