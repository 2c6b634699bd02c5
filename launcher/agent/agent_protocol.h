// launcher/agent/agent_protocol.h - what a batchproxy and an agent say to each other.
//
//   batchproxy                            agent
//   challenge protocol=2 nonce=N    ─▶
//                                   ◀─    hello protocol=2 engine=engine-0 start=1 proof=... ...
//   welcome proof=...               ─▶    (or: refused text=..., and the end)
//   start word=... set=... ...      ─▶
//                                   ◀─    stage text=...      what it waits for
//                                   ◀─    placed port=8100 devices=0,1
//                                   ◀─    log text=...        what the engine writes
//                                   ◀─    started pid=123
//   ping                            ─▶    every two seconds
//                                   ◀─    pong                at once
//   stop, stop grace=2.5, kill      ─▶    (see launcher/process/shim.h); the end is the same as
//   stop
//                                   ◀─    stage text=...      at once: it has heard
//                                   ◀─    ended how=... [code=1]
//                                   ◀─    gone                no process of it is left; the last
//                                   line
//
// All lines are AgentLines. An agent of another protocol says so in its hello, which both read.
//
// Threading: pure functions over values.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "configs/schema/key.h"
#include "configs/sources/environment.h"
#include "launcher/agent/agent_line.h"

namespace batchproxy {

// Changes whenever the two would no longer understand each other.
inline constexpr int kAgentProtocol = 2;

// What the last words of an agent end with that would come to the same end again. Also those of an
// agent of another version, to which it is said in a refusal.
inline constexpr std::string_view kHopeless = "Another start changes nothing";
inline bool is_hopeless(std::string_view words) {
  return words.find(kHopeless) != std::string_view::npos;
}

// Who an agent is, and where.
struct AgentHello {
  int protocol = kAgentProtocol;
  std::string engine;   // that it is to run
  int start = 0;        // which start of it
  std::string version;  // of its batchproxy
  std::string node;     // its node's name, for people
  std::string address;  // at which its engine can be reached: an IP address
  int pid = 0;          // its own there, for people; 0: not told
  std::string nonce;
  std::string proof{};

  // What the proof is about.
  std::string claim() const;
};

AgentLine to_line(const AgentHello& hello);
// Nothing for a line that is no hello. One of another protocol need not be whole.
std::optional<AgentHello> read_hello(const AgentLine& line);

// What an agent is to run. {host} and {port} in `argv` are for it to fill in.
struct AgentOrder {
  std::vector<std::string> argv;  // argv[0]: a name on PATH there, or a path
  Environment set{};              // of the node's environment
  std::vector<std::string> unset{};
  Seconds stop_timeout{20};
  int port_base = 8100;
  std::size_t gpus = 0;  // that it must see to; 0: none, or as it finds them

  friend bool operator==(const AgentOrder&, const AgentOrder&) = default;
};

AgentLine to_line(const AgentOrder& order);
std::optional<AgentOrder> read_order(const AgentLine& line);

// What an agent tells of its engine.
namespace agent_news {
struct Stage {
  std::string text;
};
struct Placed {
  int port = 0;
  std::string devices{};  // its CUDA_VISIBLE_DEVICES; empty: it has none
};
struct Log {
  std::string text;
};
struct Started {
  int pid = 0;
};
struct Ended {
  std::string how;
  std::optional<int> code{};
};
struct Gone {};
struct Pong {};
}  // namespace agent_news
using AgentNews =
    std::variant<agent_news::Stage, agent_news::Placed, agent_news::Log, agent_news::Started,
                 agent_news::Ended, agent_news::Gone, agent_news::Pong>;

AgentLine to_line(const AgentNews& news);
std::optional<AgentNews> read_news(const AgentLine& line);

}  // namespace batchproxy
