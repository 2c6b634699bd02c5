// launcher/agent/agent_line.h - AgentLine: one line of what a batchproxy and an agent say to each
// other: a word, and fields NAME=VALUE in which any byte may stand.
//
//   start word=vllm word=serve word=/a+model set=NO_COLOR%3D1 stop-timeout=20
//
// A blank is written as +; control characters, +, % and = as %XX. Names of fields that a reader
// does not know are no fault: a newer writer may have more.
//
// Threading: pure functions over values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace batchproxy {

struct AgentLine {
  std::string word;
  std::vector<std::pair<std::string, std::string>> fields{};

  // The first of that name; empty where there is none.
  std::string_view operator[](std::string_view name) const;
  // A whole number that is not negative; nothing where there is none.
  std::optional<int> number(std::string_view name) const;
  std::vector<std::string> all(std::string_view name) const;

  friend bool operator==(const AgentLine&, const AgentLine&) = default;
};

// With its newline.
std::string to_text(const AgentLine& line);

// `text` without its newline; nothing for what to_text() never writes.
std::optional<AgentLine> parse_agent_line(std::string_view text);

}  // namespace batchproxy
