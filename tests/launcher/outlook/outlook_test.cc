// tests/launcher/outlook/outlook_test.cc - the carrier of `exec`, and agents_listen.
#include "launcher/outlook/outlook.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/loader.h"
#include "tests/launcher/doctor/box.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

Outlook outlook_of(const std::string& launcher, const Machine& machine) {
  const LoadResult loaded =
      load({"my.yaml",
            "model: {generator_settings: {boot_local: true, hf_model_id: m, vllm_args: "
            "{tensor_parallel_size: 2}}}\nbatchproxy: {launcher: {servers: 3, " +
                launcher + "}}\n",
            {},
            {}});
  for (const auto& diagnostic : loaded.diagnostics) ADD_FAILURE() << diagnostic.format();
  return look_out(loaded.options, machine);
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
}

}  // namespace
}  // namespace batchproxy
