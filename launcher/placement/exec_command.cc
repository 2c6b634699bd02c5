// launcher/placement/exec_command.cc - see exec_command.h.
#include "launcher/placement/exec_command.h"

#include <cstddef>
#include <string_view>

#include "launcher/plan/command_line.h"

namespace batchproxy {
namespace {

std::string with_filled(std::string text, std::string_view placeholder, std::string_view value) {
  for (auto at = text.find(placeholder); at != std::string::npos;
       at = text.find(placeholder, at + value.size())) {
    text.replace(at, placeholder.size(), value);
  }
  return text;
}

}  // namespace

std::string node_of(const AgentCall& call, const std::vector<std::string>& nodes) {
  if (nodes.empty() || call.engines <= 0) return {};
  const auto place =
      static_cast<std::size_t>(call.index) * nodes.size() / static_cast<std::size_t>(call.engines);
  return nodes[place < nodes.size() ? place : nodes.size() - 1];
}

std::vector<std::string> fill_exec_command(const std::vector<std::string>& command,
                                           const AgentCall& call,
                                           const std::vector<std::string>& nodes) {
  const std::string node = node_of(call, nodes);
  std::vector<std::string> words;
  for (const std::string& word : command) {
    if (word == "{agent...}") {
      words.insert(words.end(), call.argv.begin(), call.argv.end());
      continue;
    }
    std::string filled = with_filled(word, "{index}", std::to_string(call.index));
    filled = with_filled(std::move(filled), "{gpus}", std::to_string(call.gpus));
    filled = with_filled(std::move(filled), "{node}", node);
    words.push_back(with_filled(std::move(filled), "{agent}", shell_line(call.argv)));
  }
  return words;
}

std::string shell_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + shell_quoted(word);
  return line;
}

}  // namespace batchproxy
