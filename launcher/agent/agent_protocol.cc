// launcher/agent/agent_protocol.cc - from values to lines and back.
#include "launcher/agent/agent_protocol.h"

#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "configs/text/number.h"

namespace batchproxy {
namespace {

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

constexpr int kLastPort = 65535;

}  // namespace

std::string AgentHello::claim() const {
  return fmt::format("{} {} {} {}", engine, start, node, address);
}

AgentLine to_line(const AgentHello& hello) {
  return {"hello",
          {{"protocol", std::to_string(hello.protocol)},
           {"version", hello.version},
           {"node", hello.node},
           {"engine", hello.engine},
           {"start", std::to_string(hello.start)},
           {"address", hello.address},
           {"pid", std::to_string(hello.pid)},
           {"nonce", hello.nonce},
           {"proof", hello.proof}}};
}

std::optional<AgentHello> read_hello(const AgentLine& line) {
  const auto protocol = line.number("protocol");
  if (line.word != "hello" || !protocol) return std::nullopt;
  AgentHello hello;
  hello.protocol = *protocol;
  hello.version = line["version"];
  hello.node = line["node"];
  hello.engine = line["engine"];
  hello.start = line.number("start").value_or(0);
  hello.address = line["address"];
  hello.pid = line.number("pid").value_or(0);
  hello.nonce = line["nonce"];
  hello.proof = line["proof"];
  const bool is_whole = !hello.node.empty() && !hello.engine.empty() && hello.start > 0 &&
                        !hello.address.empty() && !hello.nonce.empty() && !hello.proof.empty();
  if (hello.protocol == kAgentProtocol && !is_whole) return std::nullopt;
  return hello;
}

AgentLine to_line(const AgentOrder& order) {
  AgentLine line{"start",
                 {{"stop-timeout", fmt::format("{}", order.stop_timeout.count())},
                  {"port-base", std::to_string(order.port_base)},
                  {"gpus", std::to_string(order.gpus)}}};
  for (const std::string& word : order.argv) line.fields.emplace_back("word", word);
  for (const auto& [name, value] : order.set) line.fields.emplace_back("set", name + "=" + value);
  for (const std::string& name : order.unset) line.fields.emplace_back("unset", name);
  return line;
}

std::optional<AgentOrder> read_order(const AgentLine& line) {
  const auto timeout = number_in<double>(line["stop-timeout"]);
  const auto port_base = line.number("port-base");
  const auto gpus = line.number("gpus");
  const bool is_whole = timeout && std::isfinite(*timeout) && *timeout >= 0 && port_base && gpus;
  if (line.word != "start" || !is_whole) return std::nullopt;
  AgentOrder order{.argv = line.all("word")};
  if (order.argv.empty()) return std::nullopt;
  for (const std::string& change : line.all("set")) {
    const std::size_t equals = change.find('=');
    if (equals == std::string::npos || equals == 0) return std::nullopt;
    order.set[change.substr(0, equals)] = change.substr(equals + 1);
  }
  order.unset = line.all("unset");
  order.stop_timeout = Seconds(*timeout);
  order.port_base = *port_base;
  order.gpus = static_cast<std::size_t>(*gpus);
  return order;
}

AgentLine to_line(const AgentNews& news) {
  return std::visit(
      Overloaded{
          [](const agent_news::Stage& stage) { return AgentLine{"stage", {{"text", stage.text}}}; },
          [](const agent_news::Placed& placed) {
            return AgentLine{"placed",
                             {{"port", std::to_string(placed.port)}, {"devices", placed.devices}}};
          },
          [](const agent_news::Log& log) { return AgentLine{"log", {{"text", log.text}}}; },
          [](const agent_news::Started& started) {
            return AgentLine{"started", {{"pid", std::to_string(started.pid)}}};
          },
          [](const agent_news::Ended& ended) {
            AgentLine line{"ended", {{"how", ended.how}}};
            if (ended.code) line.fields.emplace_back("code", std::to_string(*ended.code));
            return line;
          },
          [](const agent_news::Gone&) { return AgentLine{"gone"}; },
          [](const agent_news::Pong&) { return AgentLine{"pong"}; },
      },
      news);
}

std::optional<AgentNews> read_news(const AgentLine& line) {
  if (line.word == "stage") return agent_news::Stage{std::string(line["text"])};
  if (line.word == "log") return agent_news::Log{std::string(line["text"])};
  if (line.word == "ended") return agent_news::Ended{std::string(line["how"]), line.number("code")};
  if (line.word == "gone") return agent_news::Gone{};
  if (line.word == "pong") return agent_news::Pong{};
  if (line.word == "started") {
    const auto pid = line.number("pid");
    return pid ? std::optional<AgentNews>(agent_news::Started{*pid}) : std::nullopt;
  }
  if (line.word == "placed") {
    const auto port = line.number("port");
    if (!port || *port == 0 || *port > kLastPort) return std::nullopt;
    return agent_news::Placed{*port, std::string(line["devices"])};
  }
  return std::nullopt;
}

}  // namespace batchproxy
