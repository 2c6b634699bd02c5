// tests/launcher/outlook/outlook_test.cc - the carrier of `exec`, and agents_listen.
#include "launcher/outlook/outlook.h"

#include <array>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "configs/loader.h"
#include "tests/launcher/doctor/box.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

Options options_of(const std::string& launcher) {
  const LoadResult loaded =
      load({"my.yaml",
            "model: {generator_settings: {boot_local: true, hf_model_id: m, vllm_args: "
            "{tensor_parallel_size: 2}}}\nbatchproxy: {launcher: {servers: 3, " +
                launcher + "}}\n",
            {},
            {}});
  for (const auto& diagnostic : loaded.diagnostics) ADD_FAILURE() << diagnostic.format();
  return loaded.options;
}

Outlook outlook_of(const std::string& launcher, const Machine& machine) {
  return look_out(options_of(launcher), machine);
}

class OutlookOfExec : public testing::Test {
 protected:
  OutlookOfExec() { machine_.environment["PATH"] = "/bin:/usr/bin"; }

  Outlook look(const std::string& launcher) {
    return outlook_of("placement: exec, exec_command: [sh, '{node}', '{agent}'], " + launcher,
                      machine_);
  }

  Machine machine_;
};

TEST_F(OutlookOfExec, NamesTheProgramAndWhoGoesWhere) {
  const Outlook outlook = look("nodes: [n1, n2]");
  ASSERT_THAT(outlook.placement, SizeIs(1));
  EXPECT_EQ(outlook.placement[0].verdict, CheckVerdict::kOk);
  EXPECT_THAT(outlook.placement[0].text, testing::EndsWith("/sh brings engines to n1 (2), n2 (1)"));
}

TEST_F(OutlookOfExec, SaysThatItsProgramIsMissing) {
  machine_.environment["PATH"] = "/no/such/folder";
  const Outlook outlook = look("nodes: [n1, n2]");
  ASSERT_THAT(outlook.placement, SizeIs(1));
  EXPECT_EQ(outlook.placement[0].verdict, CheckVerdict::kFailure);
  EXPECT_THAT(outlook.placement[0].text, HasSubstr("`sh` was not found"));
}

TEST_F(OutlookOfExec, FindsALoopbackAddressAMistake) {
  const Outlook outlook = look("nodes: [n1, n2], agents_listen: '127.0.0.1:0'");
  ASSERT_THAT(outlook.agents, SizeIs(1));
  EXPECT_EQ(outlook.agents[0].verdict, CheckVerdict::kFailure);
  EXPECT_THAT(outlook.agents[0].text,
              HasSubstr("agents_listen is 127.0.0.1:0, a loopback address"));
}

TEST_F(OutlookOfExec, FindsItGoodEnoughForThisMachine) {
  const Outlook outlook = look("nodes: [localhost], agents_listen: '127.0.0.1:0'");
  ASSERT_THAT(outlook.agents, SizeIs(1));
  EXPECT_EQ(outlook.agents[0].text, "the nodes must reach this machine as 127.0.0.1, at any port");
}

TEST_F(OutlookOfExec, TellsWhoHasThePort) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor other(io, {boost::asio::ip::address_v4::loopback(), 0});
  machine_.port_holder = [](int) { return "python3 (pid 12)"; };
  const std::string port = std::to_string(other.local_endpoint().port());
  const Outlook outlook = look("nodes: [n1], agents_listen: '127.0.0.1:" + port + "'");
  ASSERT_THAT(outlook.agents, SizeIs(1));
  EXPECT_EQ(outlook.agents[0].verdict, CheckVerdict::kFailure);
  EXPECT_THAT(outlook.agents[0].text, HasSubstr("cannot listen for agents at 127.0.0.1:" + port));
  EXPECT_THAT(outlook.agents[0].text, testing::EndsWith("python3 (pid 12) listens there"));
}

TEST_F(OutlookOfExec, FindsItGoodEnoughForAnAgentThatIsStartedHere) {
  const Outlook outlook = outlook_of(
      "placement: exec, exec_command: ['{agent...}'], agents_listen: '127.0.0.1:0'", machine_);
  ASSERT_THAT(outlook.agents, SizeIs(1));
  EXPECT_EQ(outlook.agents[0].verdict, CheckVerdict::kOk);
}

TEST_F(OutlookOfExec, FindsANameThatNobodyKnowsAMistake) {
  const Outlook outlook = look("nodes: [n1], agents_listen: 'no-such-host.invalid:0'");
  ASSERT_THAT(outlook.agents, SizeIs(1));
  EXPECT_NE(outlook.agents[0].verdict, CheckVerdict::kOk);
  EXPECT_THAT(outlook.agents[0].text, HasSubstr("agents_listen names `no-such-host.invalid`"));
  EXPECT_THAT(outlook.agents[0].fix, HasSubstr("write the name or address by which the nodes"));
}

TEST_F(OutlookOfExec, TellsAStartWhatIsInItsWayAndNoMore) {
  const auto found = [this](const std::string& listen) {
    return obstacles(options_of("placement: exec, exec_command: [sh, '{node}', '{agent}'], nodes: "
                                "[n1], agents_listen: '" +
                                listen + "'"),
                     machine_, {});
  };
  EXPECT_THAT(found("localhost:0"), SizeIs(1)) << "agents could not come back";
  EXPECT_FALSE(found("localhost:0")[0].is_hopeless) << "n1 may be this machine";
  EXPECT_THAT(found("0.0.0.0:0"), SizeIs(0));
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor other(io, {boost::asio::ip::address_v4::loopback(), 0});
  machine_.port_holder = [](int) { return "python3 (pid 12)"; };
  const auto taken = found("127.0.0.1:" + std::to_string(other.local_endpoint().port()));
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_TRUE(taken[0].is_hopeless);
  EXPECT_THAT(sentence_of(taken[0]), HasSubstr("python3 (pid 12) listens there: end the program"));
}

TEST(OutlookOfLocal, IsNone) {
  const Outlook outlook = outlook_of("engine: sim", Machine());
  EXPECT_THAT(outlook.placement, SizeIs(0));
  EXPECT_THAT(outlook.agents, SizeIs(0));
}

TEST(OutlookOfSlurm, WithoutAnAllocationAsksNobody) {
  Machine machine;
  machine.output_of = [](const auto&, auto) -> std::optional<std::string> {
    ADD_FAILURE() << "asked";
    return std::nullopt;
  };
  const Outlook outlook = outlook_of("placement: slurm", machine);
  EXPECT_THAT(outlook.placement.back().text, HasSubstr("SLURM_JOB_ID is not set"));
  EXPECT_THAT(obstacles(options_of("placement: slurm"), machine, {}), SizeIs(0))
      << "that is told by who asks what the placement lacks";
}

TEST(OutlookOfSlurm, FindsALoopbackAddressGoodEnoughForAnAllocationOfThisMachine) {
  std::array<char, 256> name{};
  ASSERT_EQ(::gethostname(name.data(), name.size() - 1), 0);
  Machine machine;
  const std::string launcher = "placement: slurm, agents_listen: '127.0.0.1:0'";
  EXPECT_EQ(outlook_of(launcher, machine).agents.at(0).verdict, CheckVerdict::kFailure);
  machine.environment["SLURM_JOB_NODELIST"] = name.data();
  EXPECT_EQ(outlook_of(launcher, machine).agents.at(0).verdict, CheckVerdict::kOk);
  machine.environment["SLURM_JOB_NODELIST"] = "n[1-2]";
  EXPECT_EQ(outlook_of(launcher, machine).agents.at(0).verdict, CheckVerdict::kFailure);
}

}  // namespace
}  // namespace batchproxy
