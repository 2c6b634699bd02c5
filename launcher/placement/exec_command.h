// launcher/placement/exec_command.h - the template of launcher.exec_command, filled in for one
// agent.
//
// Threading: pure functions over values.
#pragma once

#include <string>
#include <vector>

#include "launcher/placement/placement.h"

namespace batchproxy {

// The node of an engine, of those that there are: they are shared out in order, the same number of
// engines to each, or one more.
std::string node_of(const AgentCall& call, const std::vector<std::string>& nodes);

// {node} {index} {gpus} filled in; the word {agent...} becomes the agent's words, and {agent}
// within a word all of them, quoted for a shell: ssh has one at the other end.
std::vector<std::string> fill_exec_command(const std::vector<std::string>& command,
                                           const AgentCall& call,
                                           const std::vector<std::string>& nodes);

// `words` as a shell would read them.
std::string shell_line(const std::vector<std::string>& words);

}  // namespace batchproxy
