// tests/launcher/placement/exec_command_test.cc - the template of exec_command.
#include "launcher/placement/exec_command.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using Words = std::vector<std::string>;

AgentCall call(int index, int engines) {
  AgentCall made;
  made.engine = "engine-" + std::to_string(index);
  made.index = index;
  made.engines = engines;
  made.gpus = 2;
  made.argv = {"/opt/batch proxy", "engine-agent", "--engine", made.engine};
  return made;
}

TEST(ExecCommand, FillsInNodeIndexAndGpus) {
  EXPECT_EQ(fill_exec_command({"mpiexec", "-host", "{node}", "-x{index}", "-g{gpus}", "{agent...}"},
                              call(1, 2), {"a", "b"}),
            (Words{"mpiexec", "-host", "b", "-x1", "-g2", "/opt/batch proxy", "engine-agent",
                   "--engine", "engine-1"}));
}

TEST(ExecCommand, QuotesTheAgentForAShellAtTheOtherEnd) {
  EXPECT_EQ(fill_exec_command({"ssh", "{node}", "exec {agent}"}, call(0, 1), {"a"}),
            (Words{"ssh", "a", "exec '/opt/batch proxy' engine-agent --engine engine-0"}));
}

TEST(ExecCommand, FillsInNothingOfTheAgentsWords) {
  AgentCall strange = call(0, 1);
  strange.argv = {"{node}", "{index}"};
  EXPECT_EQ(fill_exec_command({"{agent...}"}, strange, {"a"}), (Words{"{node}", "{index}"}));
  EXPECT_EQ(fill_exec_command({"sh", "-c", "{agent}"}, strange, {"a"}),
            (Words{"sh", "-c", "'{node}' '{index}'"}));
}

TEST(ExecCommand, SharesEnginesOutAmongNodesInOrder) {
  const Words nodes{"a", "b", "c"};
  std::string places;
  for (int index = 0; index < 8; ++index) places += node_of(call(index, 8), nodes);
  EXPECT_EQ(places, "aaabbbcc");
  EXPECT_EQ(node_of(call(0, 1), nodes), "a");
  EXPECT_EQ(node_of(call(1, 2), nodes), "b");
  EXPECT_EQ(node_of(call(0, 1), {}), "");
}

}  // namespace
}  // namespace batchproxy
