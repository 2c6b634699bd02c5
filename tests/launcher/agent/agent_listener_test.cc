// tests/launcher/agent/agent_listener_test.cc - who is let in, and what the others are told.
#include "launcher/agent/agent_listener.h"

#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/agent/scripted_agent.h"

namespace batchproxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class AgentListenerTest : public testing::Test {
 protected:
  void expect(const std::string& engine, int start) {
    listener_.expect(engine, start,
                     [this](ArrivedAgent agent) { arrived_.emplace(std::move(agent)); });
  }

  // One that has heard the challenge.
  std::unique_ptr<ScriptedAgent> connect() {
    auto agent = std::make_unique<ScriptedAgent>(io_, listener_.address());
    EXPECT_TRUE(run_until(io_, [&] { return !agent->heard().empty(); }));
    return agent;
  }

  // What it is told instead of a welcome.
  std::string refusal(const AgentHello& hello, const std::string& token) {
    const auto agent = connect();
    agent->say_hello(hello, token);
    EXPECT_TRUE(run_until(io_, [&] { return agent->is_closed(); }));
    EXPECT_EQ(agent->words(), "challenge refused");
    EXPECT_FALSE(arrived_);
    return std::string(agent->heard().back()["text"]);
  }

  boost::asio::io_context io_;
  std::vector<std::string> remarks_;
  AgentListener listener_{io_, "127.0.0.1:0", "the token",
                          [this](const std::string& sentence) { remarks_.push_back(sentence); }};
  std::optional<ArrivedAgent> arrived_;
};

TEST_F(AgentListenerTest, HandsOverTheAgentThatIsAwaited) {
  expect("engine-0", 2);
  const auto agent = connect();
  agent->say_hello(hello_of("engine-0", 2), "the token");
  ASSERT_TRUE(run_until(io_, [&] { return arrived_ && agent->heard().size() == 2; }));
  EXPECT_EQ(arrived_->hello.node, "n1");
  EXPECT_EQ(agent->words(), "challenge welcome");
  const AgentHello& said = agent->said();
  EXPECT_EQ(agent->heard().back()["proof"], make_proof("the token", "batchproxy", said.claim(),
                                                       agent->heard().front()["nonce"], said.nonce))
      << "by which the agent knows us";
  EXPECT_THAT(remarks_, IsEmpty());
}

TEST_F(AgentListenerTest, RefusesAWrongToken) {
  expect("engine-0", 1);
  EXPECT_THAT(refusal(hello_of("engine-0", 1), "another token"),
              HasSubstr("does not have the token of this run"));
  EXPECT_THAT(remarks_,
              ElementsAre(HasSubstr("refused an agent from 127.0.0.1 (node n1, engine-0)")));
}

TEST_F(AgentListenerTest, RefusesAProofOfAnotherAddress) {
  expect("engine-0", 1);
  const auto agent = connect();
  AgentHello hello = hello_of("engine-0", 1);
  hello.nonce = make_nonce();
  hello.proof =
      make_proof("the token", "agent", hello.claim(), agent->heard().front()["nonce"], hello.nonce);
  hello.address = "10.0.0.66";
  agent->say(to_line(hello));
  ASSERT_TRUE(run_until(io_, [&] { return agent->is_closed(); }));
  EXPECT_EQ(agent->words(), "challenge refused");
}

TEST_F(AgentListenerTest, RefusesAProofThatWasHeardBefore) {
  expect("engine-0", 1);
  const auto agent = connect();
  agent->say_hello(hello_of("engine-0", 1), "the token");
  ASSERT_TRUE(run_until(io_, [&] { return arrived_.has_value(); }));
  arrived_.reset();
  expect("engine-0", 1);
  const auto thief = connect();
  thief->say(to_line(agent->said()));
  ASSERT_TRUE(run_until(io_, [&] { return thief->is_closed(); }));
  EXPECT_FALSE(arrived_);
}

TEST_F(AgentListenerTest, RefusesAnotherProtocolAndSaysWhatToDo) {
  expect("engine-0", 1);
  AgentHello old = hello_of("engine-0", 1);
  old.protocol = 0;
  old.version = "0.0.9";
  EXPECT_THAT(refusal(old, "the token"),
              testing::AllOf(HasSubstr("the agent is batchproxy 0.0.9 and speaks protocol 0"),
                             HasSubstr("install the same version on the node")));
}

TEST_F(AgentListenerTest, RefusesWhomNobodyAwaits) {
  EXPECT_EQ(refusal(hello_of("engine-7", 1), "the token"), "no agent is awaited for engine-7 now");
  expect("engine-0", 2);
  EXPECT_EQ(refusal(hello_of("engine-0", 1), "the token"),
            "the agent is for start 1 of engine-0, and start 2 is awaited");
  listener_.forget("engine-0");
  EXPECT_EQ(refusal(hello_of("engine-0", 2), "the token"), "no agent is awaited for engine-0 now");
}

TEST_F(AgentListenerTest, HangsUpOnStrangers) {
  const std::string no_one = "hello protocol=" + std::to_string(kAgentProtocol) + "\n";
  for (const std::string& text :
       {std::string("GET / HTTP/1.1\r\n\r\n"), no_one, std::string("\n")}) {
    const auto stranger = connect();
    stranger->say_raw(text);
    EXPECT_TRUE(run_until(io_, [&] { return stranger->is_closed(); })) << text;
    EXPECT_EQ(stranger->words(), "challenge");
  }
  EXPECT_THAT(remarks_, IsEmpty());
}

TEST_F(AgentListenerTest, HangsUpOnALineWithoutEnd) {
  const auto stranger = connect();
  stranger->say_raw(std::string(AgentLink::kLongestLine + 2, 'x'));
  EXPECT_TRUE(run_until(io_, [&] { return stranger->is_closed(); }));
}

TEST_F(AgentListenerTest, SaysWhenItsAddressIsNotToBeHad) {
  const std::string taken = listener_.address();
  try {
    AgentListener second(io_, taken, "x", [](const std::string&) {});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(error.what(), "cannot listen for agents at " + taken +
                                " (batchproxy.launcher.agents_listen): Address already in use");
  }
}

TEST_F(AgentListenerTest, TellsTheNameOfThisMachineByDefault) {
  AgentListener other(io_, "", "x", [](const std::string&) {});
  const auto at = parse_host_port(other.address());
  ASSERT_TRUE(at);
  EXPECT_TRUE(is_own_name(at->host)) << other.address();
  EXPECT_NE(at->port, 0);
}

}  // namespace
}  // namespace batchproxy
