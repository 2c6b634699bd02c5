// tests/launcher/placement/child_carrier_test.cc - programs that carry, and what they say.
#include "launcher/placement/child_carrier.h"

#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/launcher/agent/scripted_agent.h"

namespace batchproxy {
namespace {

using testing::ElementsAre;

class ChildCarrierTest : public testing::Test {
 protected:
  void start(const std::string& script, const std::string& input = "") {
    start_program({"sh", "-c", script}, input);
  }

  void start_program(std::vector<std::string> argv, const std::string& input = "") {
    Carrier::Hooks hooks;
    hooks.on_line = [this](std::string_view line) { lines_.emplace_back(line); };
    hooks.on_ended = [this](const std::string& how) { ends_.push_back(how); };
    CarrierCommand command{std::move(argv), {{"PATH", "/usr/bin:/bin"}, {"WORD", "x"}}, input};
    command.if_done_early = "stay in the foreground";
    carrier_ = start_carrier(io_, std::move(command), std::move(hooks));
  }

  bool await_end() {
    return run_until(io_, [this] { return !ends_.empty(); });
  }
  bool await_line() {
    return run_until(io_, [this] { return !lines_.empty(); });
  }

  boost::asio::io_context io_;
  std::vector<std::string> lines_;
  std::vector<std::string> ends_;
  std::unique_ptr<Carrier> carrier_;
};

TEST_F(ChildCarrierTest, SaysWhatItsProgramSaysAndHowItEnds) {
  start("echo one; echo two >&2; printf three; exit 7");
  ASSERT_TRUE(await_end());
  EXPECT_THAT(lines_, ElementsAre("one", "two", "three"));
  EXPECT_THAT(ends_, ElementsAre("sh ended with exit code 7: three"));
}

TEST_F(ChildCarrierTest, GivesItItsEnvironmentAndItsInput) {
  start("read token; echo \"$WORD $token\"; read more || echo no more", "secret\n");
  ASSERT_TRUE(await_end());
  EXPECT_THAT(lines_, ElementsAre("x secret", "no more"));
}

TEST_F(ChildCarrierTest, HasAnAdviceOnlyForAProgramThatEndedWell) {
  const auto advice_after = [this](const std::string& script) {
    ends_.clear();
    start(script);
    EXPECT_TRUE(await_end());
    return carrier_->advice();
  };
  EXPECT_EQ(advice_after("exit 0"), "stay in the foreground");
  EXPECT_EQ(advice_after("exit 3"), "");
  EXPECT_EQ(advice_after("kill -9 $$"), "");
}

TEST_F(ChildCarrierTest, LeavesItNothingOpenOfOurs) {
  const int ours = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  ASSERT_GE(ours, 3);
  start("for file in /proc/$$/fd/*; do readlink $file; done");
  ASSERT_TRUE(await_end());
  ::close(ours);
  EXPECT_THAT(lines_, testing::Each(testing::Not("/dev/null")));
  EXPECT_THAT(lines_, testing::Contains(testing::StartsWith("pipe:")));
}

TEST_F(ChildCarrierTest, SaysWhatCannotBeStarted) {
  start_program({"no-such-program"});
  EXPECT_TRUE(ends_.empty()) << "no hook from inside a call";
  ASSERT_TRUE(await_end());
  EXPECT_THAT(ends_, ElementsAre("`no-such-program` was not found, or cannot be run"));
}

TEST_F(ChildCarrierTest, EndsThoughWhatItHasLeftHoldsItsOutput) {
  start("sleep 600 & echo $!");
  ASSERT_TRUE(await_end());
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_EQ(::kill(std::atoi(lines_.front().c_str()), SIGKILL), 0);
}

TEST_F(ChildCarrierTest, IsCancelled) {
  start("echo up; exec sleep 600");
  ASSERT_TRUE(await_line());
  carrier_->cancel();
  ASSERT_TRUE(await_end());
  EXPECT_THAT(ends_, ElementsAre("sh was killed by SIGTERM: up"));
}

TEST_F(ChildCarrierTest, IsKilledWhenItDoesNotHear) {
  start("trap '' TERM; echo up; while :; do sleep 600; done");
  ASSERT_TRUE(await_line());
  carrier_->cancel();
  carrier_->kill();
  ASSERT_TRUE(await_end());
  EXPECT_THAT(ends_, ElementsAre("sh was killed by SIGKILL: up"));
}

TEST_F(ChildCarrierTest, TellsNobodyOnceItIsDestroyed) {
  start("echo $$; exec sleep 600");
  ASSERT_TRUE(await_line());
  const pid_t pid = std::atoi(lines_.front().c_str());
  carrier_.reset();
  EXPECT_TRUE(run_until(io_, [pid] { return ::kill(pid, 0) != 0; })) << "it ends, and is reaped";
  EXPECT_TRUE(ends_.empty());
}

TEST(CarrierCommand, TakesTheTokenAlongAndLeavesOurSecretsBehind) {
  AgentCall call;
  call.token = "t";
  const CarrierCommand command = carrier_command(
      {"ssh"}, {{"HOME", "/h"}, {"BATCHPROXY_API_KEYS", "secret"}, {"NOTIFY_SOCKET", "/run/x"}},
      call);
  EXPECT_EQ(command.environment, (Environment{{"HOME", "/h"}, {"BATCHPROXY_AGENT_TOKEN", "t"}}));
  EXPECT_EQ(command.input, "t\n");
}

}  // namespace
}  // namespace batchproxy
