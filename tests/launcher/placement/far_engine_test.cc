// tests/launcher/placement/far_engine_test.cc - the life of an engine of another node, whose agent
// and carrier do as a test says.
#include "launcher/placement/far_engine.h"

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/agent/scripted_agent.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

// A carrier whose hooks a test calls.
class ScriptedPlacement final : public Placement {
 public:
  void begin(std::function<void()> ready) override { ready(); }
  std::unique_ptr<Carrier> carry(const AgentCall& its_call, Carrier::Hooks its_hooks) override {
    call = its_call;
    hooks = std::move(its_hooks);
    return std::make_unique<One>(*this);
  }

  AgentCall call;
  Carrier::Hooks hooks;
  std::string condition;
  std::string node;
  std::string advice;
  int cancelled = 0;
  int killed = 0;

 private:
  struct One final : Carrier {
    explicit One(ScriptedPlacement& placement) : its(placement) {}
    std::string condition() const override { return its.condition; }
    std::string node() const override { return its.node; }
    std::string advice() const override { return its.advice; }
    void cancel() override { ++its.cancelled; }
    void kill() override { ++its.killed; }
    ScriptedPlacement& its;
  };
};

class FarEngineTest : public testing::Test {
 protected:
  void start(Seconds agent_timeout = Seconds(3600)) {
    FarCommand command;
    command.call.engine = "engine-0";
    command.call.start = 3;
    command.order.argv = {"vllm", "serve", "--port", "{port}"};
    command.order.stop_timeout = Seconds(3600);
    command.log_file = log_;
    command.run = "engine-0, run 3";
    command.agent_timeout = agent_timeout;
    command.patience = patience_;
    EngineHooks hooks;
    hooks.on_started = [this](pid_t pid) { tell("started " + std::to_string(pid)); };
    hooks.on_exited = [this](const EngineEnd& end) {
      tell("exited: " + end.how + (end.exit_code ? " code " + std::to_string(*end.exit_code) : "") +
           (end.is_hopeless ? ", for good" : ""));
    };
    hooks.on_gone = [this] {
      doubt_ = engine_->condition().doubt;
      tell("gone");
      engine_.reset();  // as the launcher does
    };
    hooks.on_stage = [this](const std::string& text) { tell("stage " + text); };
    hooks.on_placed = [this](const EnginePlace& place) {
      tell("placed " + to_string(place.address) + " " + place.node + " " + place.gpus);
    };
    hooks.on_delay = [this](const std::string& text) { tell("delay " + text); };
    engine_ = std::make_unique<FarEngine>(io_, listener_, placement_, std::move(command),
                                          std::move(hooks));
  }

  void tell(const std::string& news) { told_.push_back(news); }
  bool has_told(const std::string& beginning) const {
    return std::ranges::any_of(told_, [&](const auto& one) { return one.starts_with(beginning); });
  }
  bool await(const std::string& beginning) {
    return run_until(io_, [&] { return has_told(beginning); });
  }

  // It comes, and is told what to run.
  void arrive() {
    agent_ = std::make_unique<ScriptedAgent>(io_, listener_.address());
    ASSERT_TRUE(run_until(io_, [&] { return !agent_->heard().empty(); }));
    agent_->say_hello(hello_of("engine-0", 3), "the token");
    ASSERT_TRUE(run_until(io_, [&] { return agent_->heard().size() >= 3; }));
  }

  void run_engine() {
    start();
    arrive();
    agent_->say(to_line(agent_news::Placed{8100, "0,1"}));
    agent_->say(to_line(agent_news::Started{17}));
    ASSERT_TRUE(await("started"));
  }

  std::string log() const {
    std::ifstream file(log_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  boost::asio::io_context io_;
  TemporaryDirectory folder_;
  const std::string log_ = folder_.file("engine-0.log");
  AgentListener listener_{io_, "127.0.0.1:0", "the token", [](const std::string&) {}};
  ScriptedPlacement placement_;
  AgentPatience patience_{
      .every = 1h, .patience = 1h, .answer_time = 1h, .time_without_engine = 1h};
  std::vector<std::string> told_;
  std::string doubt_;  // once it is gone
  std::unique_ptr<ScriptedAgent> agent_;
  std::unique_ptr<FarEngine> engine_;
};

TEST_F(FarEngineTest, TellsTheAgentWhatToRunAndTheLauncherHowItFares) {
  run_engine();
  EXPECT_EQ(placement_.call.engine, "engine-0");
  EXPECT_EQ(agent_->words(), "challenge welcome start");
  EXPECT_EQ(read_order(agent_->heard().back())->argv.front(), "vllm");
  agent_->say(to_line(agent_news::Log{"a line\n"}));
  agent_->say(to_line(agent_news::Ended{"exit code 1", 1}));
  agent_->say(to_line(agent_news::Gone{}));
  ASSERT_TRUE(await("exited"));
  agent_->vanish();
  EXPECT_FALSE(has_told("gone")) << "its carrier has not ended";
  placement_.hooks.on_ended("ssh ended with exit code 0");
  ASSERT_TRUE(await("gone"));
  EXPECT_THAT(told_, ElementsAre("stage its agent is on n1", "placed 127.0.0.1:8100 n1 0,1",
                                 "started 17", "exited: exit code 1 (on n1) code 1", "gone"));
  EXPECT_EQ(doubt_, "");
  EXPECT_THAT(log(), HasSubstr("=== batchproxy: engine-0, run 3, "));
  EXPECT_THAT(log(), HasSubstr("a line\n"));
}

TEST_F(FarEngineTest, PassesOnWhatToDoAboutACarrierThatEndedEarly) {
  placement_.advice = "it must stay in the foreground";
  start();
  placement_.hooks.on_ended("ssh ended with exit code 0");
  EXPECT_THAT(told_, ElementsAre("exited: its agent has not come: ssh ended with exit code 0; it "
                                 "must stay in the foreground",
                                 "gone"));
}

TEST_F(FarEngineTest, SaysNothingOfThatOnceItsAgentHasCome) {
  placement_.advice = "it must stay in the foreground";
  run_engine();
  agent_->say(to_line(agent_news::Ended{"exit code 1", 1}));
  ASSERT_TRUE(await("exited"));
  placement_.hooks.on_ended("ssh ended with exit code 0");
  agent_->vanish();
  ASSERT_TRUE(await("gone"));
  EXPECT_THAT(log(), testing::Not(HasSubstr("foreground")));
}

TEST_F(FarEngineTest, SaysWhatTheCarrierHasSaidWhenNoAgentComes) {
  start();
  placement_.hooks.on_line("ssh: connect to host n1 port 22: Connection refused");
  placement_.hooks.on_ended("ssh ended with exit code 255");
  EXPECT_THAT(told_,
              ElementsAre("stage on its way: ssh: connect to host n1 port 22: Connection refused",
                          "exited: its agent has not come: ssh ended with exit code 255", "gone"));
  EXPECT_THAT(log(),
              HasSubstr("[placement] ssh: connect to host n1 port 22: Connection refused\n"));
}

TEST_F(FarEngineTest, GivesAnAgentThatDoesNotComeUp) {
  start(Seconds(0.01));
  ASSERT_TRUE(await("exited: no agent has come within 0.01 s (launcher.agent_timeout)"));
  EXPECT_EQ(placement_.cancelled, 1);
  EXPECT_FALSE(has_told("gone"));
  placement_.hooks.on_ended("sleep was killed by SIGTERM");
  EXPECT_EQ(told_.back(), "gone");
}

TEST_F(FarEngineTest, WaitsForASchedulerThatHasNoRoom) {
  start(Seconds(0.2));
  placement_.hooks.on_waiting("all nodes are busy");
  EXPECT_EQ(told_.back(), "stage waits for a node: all nodes are busy");
  io_.restart();
  io_.run_for(std::chrono::milliseconds(600));
  EXPECT_FALSE(has_told("exited"));
  placement_.hooks.on_line("step created");  // from now on its time counts
  EXPECT_TRUE(await("exited: no agent has come"));
}

TEST_F(FarEngineTest, TakesALostAgentForADeadEngine) {
  run_engine();
  agent_->vanish();
  placement_.hooks.on_line("srun: error: n1: task 0: Killed");
  ASSERT_TRUE(await("exited: its agent on n1 is gone"));
  placement_.hooks.on_ended("srun ended with exit code 137");
  EXPECT_EQ(told_.back(), "gone");
}

TEST_F(FarEngineTest, SaysWhyTheCarrierThinksThatTheAgentIsLost) {
  run_engine();
  agent_->vanish();
  io_.restart();
  io_.run_for(std::chrono::milliseconds(50));
  placement_.hooks.on_ended("srun ended with exit code 1: DUE TO NODE FAILURE");
  ASSERT_TRUE(await("exited"));
  EXPECT_THAT(told_, testing::Contains(HasSubstr("DUE TO NODE FAILURE")));
  EXPECT_EQ(told_.back(), "gone");
}

TEST_F(FarEngineTest, PassesOrdersOn) {
  run_engine();
  engine_->stop();
  engine_->stop(Seconds(2.5));
  engine_->kill();
  ASSERT_TRUE(run_until(io_, [&] { return agent_->heard().size() == 6; }));
  EXPECT_EQ(agent_->words(), "challenge welcome start stop stop kill");
  EXPECT_EQ(agent_->heard()[3]["grace"], "");
  EXPECT_EQ(agent_->heard()[4]["grace"], "2.5");
}

TEST_F(FarEngineTest, CancelsAnAgentThatIsOnItsWay) {
  start();
  engine_->stop();
  EXPECT_TRUE(told_.empty()) << "no hook from inside a call";
  ASSERT_TRUE(await("exited: stopped before its agent had come"));
  EXPECT_EQ(placement_.cancelled, 1);
  agent_ = std::make_unique<ScriptedAgent>(io_, listener_.address());
  ASSERT_TRUE(run_until(io_, [&] { return !agent_->heard().empty(); }));
  agent_->say_hello(hello_of("engine-0", 3), "the token");
  ASSERT_TRUE(run_until(io_, [&] { return agent_->is_closed(); }));
  EXPECT_EQ(agent_->words(), "challenge refused") << "it comes too late";
  placement_.hooks.on_ended("ssh was killed by SIGTERM");
  EXPECT_EQ(told_.back(), "gone");
}

TEST_F(FarEngineTest, SaysOnceThatACarrierRunsWhoseAgentDoesNotCome) {
  patience_.patience = 10ms;
  placement_.condition = "ssh still runs (pid 17)";
  placement_.node = "n1";
  start();
  ASSERT_TRUE(await("delay"));
  io_.restart();
  io_.run_for(std::chrono::milliseconds(100));
  EXPECT_THAT(told_, ElementsAre("delay waits for its agent on n1: ssh still runs (pid 17), 0.01 s "
                                 "of agent_timeout (3600 s) are over"));
}

TEST_F(FarEngineTest, SaysWhatTheSchedulerLacksWhenThatTakesLong) {
  patience_.patience = 10ms;
  start();
  placement_.hooks.on_waiting("all nodes are busy");
  ASSERT_TRUE(await("delay"));
  EXPECT_EQ(told_.back(), "delay waits for a node: all nodes are busy");
}

TEST_F(FarEngineTest, DoesNotStartAgainAnAgentThatWouldBeRefusedAgain) {
  start();
  placement_.hooks.on_line("engine-agent: batchproxy refuses: it is old. " +
                           std::string(kHopeless) + " (on n1)");
  EXPECT_TRUE(told_.empty()) << "its end follows, and says so";
  placement_.hooks.on_line("srun: error: n1: task 0: Exited with exit code 1");
  placement_.hooks.on_ended("srun ended with exit code 1");
  EXPECT_THAT(told_, testing::Contains("exited: its agent has not come: engine-agent: batchproxy "
                                       "refuses: it is old. Another start changes nothing (on n1), "
                                       "for good"));
}

TEST_F(FarEngineTest, SaysThatAnAgentHangsAndWaitsForItsAnswerOnly) {
  patience_.patience = 10ms;
  patience_.answer_time = 300ms;
  run_engine();
  engine_->stop(Seconds(3600));
  ASSERT_TRUE(await("delay waits for its agent on n1, which does not answer: until "));
  EXPECT_FALSE(has_told("exited"));
  ASSERT_TRUE(await("exited: its agent on n1 is gone (it does not do as it is told)"));
  EXPECT_EQ(placement_.cancelled, 1);
  EXPECT_EQ(engine_->condition().doubt, "") << "its carrier may still end it";
  placement_.hooks.on_ended("ssh was killed by SIGTERM");
  EXPECT_EQ(told_.back(), "gone");
  EXPECT_EQ(doubt_,
            "its agent on n1 does not answer, so the engine may still run there until 3600 s after "
            "that agent has ended (kill -9 4711 there ends it)");
}

TEST_F(FarEngineTest, AsksItsAgentAndSaysOnceThatItIsSilentAndOnceThatItIsBack) {
  patience_.every = 200ms;
  patience_.patience = 1s;
  run_engine();
  ASSERT_TRUE(run_until(io_, [&] { return agent_->words() == "challenge welcome start ping"; }));
  agent_->say(to_line(agent_news::Pong{}));
  ASSERT_TRUE(
      run_until(io_, [&] { return agent_->words() == "challenge welcome start ping ping"; }));
  ASSERT_TRUE(await("delay has heard nothing of its agent on n1 (pid 4711) for 1 s"));
  EXPECT_THAT(engine_->condition().silence,
              testing::MatchesRegex("its agent on n1 has not answered for [0-9]+ s"));
  io_.restart();
  io_.run_for(300ms);
  agent_->say(to_line(agent_news::Pong{}));
  ASSERT_TRUE(await("delay hears from its agent on n1 again, after "));
  EXPECT_EQ(engine_->condition().silence, "");
  EXPECT_EQ(agent_->words(), "challenge welcome start ping ping") << "one question at a time";
  EXPECT_EQ(std::ranges::count_if(told_, [](const auto& one) { return one.starts_with("delay"); }),
            2);
  EXPECT_FALSE(has_told("exited"));
}

TEST_F(FarEngineTest, SaysForHowLongItsAgentHasBeenAwaited) {
  placement_.condition = "ssh still runs (pid 17)";
  start();
  const std::string first = engine_->condition().waits_for;
  const auto is_counted = testing::MatchesRegex(
      "waits for its agent: ssh still runs .pid 17., [0-9]+ s of agent_timeout .3600 s. are over");
  EXPECT_THAT(first, is_counted);
  ASSERT_TRUE(run_until(io_, [&] { return engine_->condition().waits_for != first; }));
  EXPECT_THAT(engine_->condition().waits_for, is_counted);
  placement_.hooks.on_waiting("all nodes are busy");
  EXPECT_EQ(engine_->condition().waits_for, "") << "its stage says it";
}

TEST_F(FarEngineTest, GivesAnAgentUpThatHangsBeforeItHasAnEngine) {
  patience_ = {.every = 500ms, .patience = 20ms, .time_without_engine = 200ms};
  start();
  arrive();
  ASSERT_TRUE(
      await("delay waits for its agent on n1, which has not answered for 0 s, and has "
            "started no engine: until "));
  EXPECT_THAT(engine_->condition().waits_for, HasSubstr("has started no engine: until "));
  ASSERT_TRUE(await("exited: its agent on n1 is gone (it has not answered for 0 s)"));
  placement_.hooks.on_ended("ssh was killed by SIGTERM");
  EXPECT_EQ(doubt_, "") << "there was no engine";
}

TEST_F(FarEngineTest, DoesNotClaimAnEndThatAnAgentHasNotTold) {
  run_engine();
  engine_->stop(Seconds(3600));
  agent_->say(to_line(agent_news::Stage{"ends"}));
  ASSERT_TRUE(await("stage n1: ends"));
  agent_->vanish();
  placement_.hooks.on_ended("ssh was killed by SIGKILL");
  ASSERT_TRUE(await("gone"));
  EXPECT_THAT(doubt_, HasSubstr("was lost before it had told the engine's end, so the engine may "
                                "still run there for 3600 s"));
}

TEST_F(FarEngineTest, GivesAnAgentThatHasHeardTheTimeOfItsOrder) {
  patience_.patience = 10ms;
  run_engine();
  engine_->stop(Seconds(0.05));
  agent_->say(to_line(agent_news::Stage{"ends"}));
  ASSERT_TRUE(await("delay waits for its agent on n1, which has not ended its engine: until "));
  EXPECT_FALSE(has_told("exited")) << "it has fifteen seconds more";
}

TEST_F(FarEngineTest, LeavesTheAgentToStopWhenItIsDestroyed) {
  run_engine();
  engine_.reset();
  EXPECT_TRUE(run_until(io_, [&] { return agent_->is_closed(); })) << "which is an order to stop";
  placement_.hooks.on_ended("too late for anybody");
  EXPECT_FALSE(has_told("exited"));
}

}  // namespace
}  // namespace batchproxy
