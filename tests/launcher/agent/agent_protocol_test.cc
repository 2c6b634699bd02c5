// tests/launcher/agent/agent_protocol_test.cc - what one side writes, the other reads.
#include "launcher/agent/agent_protocol.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

AgentLine over_the_wire(const AgentLine& line) {
  std::string text = to_text(line);
  text.pop_back();
  return parse_agent_line(text).value();
}

AgentHello whole_hello() {
  AgentHello hello;
  hello.engine = "engine-3";
  hello.start = 2;
  hello.version = "0.1.0";
  hello.node = "n1";
  hello.address = "10.0.0.7";
  hello.nonce = "abc";
  hello.proof = "def";
  return hello;
}

TEST(AgentProtocol, SaysWhoAnAgentIs) {
  const auto read = read_hello(over_the_wire(to_line(whole_hello())));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->protocol, kAgentProtocol);
  EXPECT_EQ(read->claim(), "engine-3 2 n1 10.0.0.7");
  EXPECT_EQ(read->nonce, "abc");
  EXPECT_EQ(read->proof, "def");
}

TEST(AgentProtocol, ReadsOfAnotherProtocolAtLeastWhich) {
  const auto read = read_hello({"hello", {{"protocol", "0"}, {"version", "0.0.9"}}});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->protocol, 0);
  EXPECT_EQ(read->version, "0.0.9");
}

TEST(AgentProtocol, RefusesAHelloThatIsNotWhole) {
  const AgentLine whole = to_line(whole_hello());
  for (const auto& field : whole.fields) {
    if (field.first == "version" || field.first == "pid") continue;  // for people
    AgentLine lacking = whole;
    std::erase(lacking.fields, field);
    EXPECT_FALSE(read_hello(lacking)) << field.first;
  }
  AgentLine other = whole;
  other.word = "hallo";
  EXPECT_FALSE(read_hello(other));
}

TEST(AgentProtocol, SaysWhatToRun) {
  AgentOrder order;
  order.argv = {"vllm", "serve", "a model", "--port", "{port}", "--x={\"a\": 1}"};
  order.set = {{"NO_COLOR", "1"}, {"X", "a=b c\n"}, {"EMPTY", ""}};
  order.unset = {"VLLM_PORT"};
  order.stop_timeout = Seconds(2.5);
  order.port_base = 9000;
  order.gpus = 2;
  EXPECT_EQ(read_order(over_the_wire(to_line(order))), order);
}

TEST(AgentProtocol, RefusesAnOrderToRunNothing) {
  AgentOrder order;
  EXPECT_FALSE(read_order(to_line(order)));
  order.argv = {"x"};
  AgentLine line = to_line(order);
  EXPECT_TRUE(read_order(line));
  line.fields.emplace_back("set", "=value");
  EXPECT_FALSE(read_order(line));
  for (const char* wrong : {"nan", "inf", "-1", ""}) {
    line = to_line(order);
    line.fields.front().second = wrong;
    EXPECT_FALSE(read_order(line)) << wrong;
  }
}

template <class Kind>
Kind told(const AgentNews& news) {
  const auto read = read_news(over_the_wire(to_line(news)));
  EXPECT_TRUE(read && std::holds_alternative<Kind>(*read));
  return std::get<Kind>(read.value());
}

TEST(AgentProtocol, TellsHowAnEngineFares) {
  EXPECT_EQ(told<agent_news::Stage>(agent_news::Stage{"waits"}).text, "waits");
  const auto placed = told<agent_news::Placed>(agent_news::Placed{8100, "0,1"});
  EXPECT_EQ(placed.port, 8100);
  EXPECT_EQ(placed.devices, "0,1");
  EXPECT_EQ(told<agent_news::Log>(agent_news::Log{"a\r\n%\n"}).text, "a\r\n%\n");
  EXPECT_EQ(told<agent_news::Started>(agent_news::Started{17}).pid, 17);
  const auto ended = told<agent_news::Ended>(agent_news::Ended{"exit code 2", 2});
  EXPECT_EQ(ended.how, "exit code 2");
  EXPECT_EQ(ended.code, 2);
  EXPECT_EQ(told<agent_news::Ended>(agent_news::Ended{"killed by SIGKILL"}).code, std::nullopt);
  told<agent_news::Gone>(agent_news::Gone{});
  told<agent_news::Pong>(agent_news::Pong{});
}

TEST(AgentProtocol, RefusesNewsThatAreNone) {
  EXPECT_FALSE(read_news({"hello"}));
  EXPECT_FALSE(read_news({"started"}));
  EXPECT_FALSE(read_news({"placed", {{"port", "0"}}}));
  EXPECT_FALSE(read_news({"placed", {{"port", "65536"}}}));
}

}  // namespace
}  // namespace batchproxy
