// tests/launcher/base/machine_test.cc - the machine that we run on, and one that is a folder.
#include "launcher/base/machine.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/launcher/doctor/box.h"

namespace batchproxy {
namespace {

TEST(Machine, ReadsBelowItsRoot) {
  const Box box;
  box.file("/proc/version", "Linux");
  box.file("/sys/a/2");
  box.file("/sys/a/1");
  EXPECT_EQ(box.machine.read("/proc/version"), "Linux");
  EXPECT_EQ(box.machine.read("/proc/version", 2), "Li");
  EXPECT_EQ(box.machine.read("/proc"), std::nullopt);
  EXPECT_EQ(box.machine.read("/absent"), std::nullopt);
  EXPECT_THAT(box.machine.names_in("/sys/a"), testing::ElementsAre("1", "2"));
  EXPECT_THAT(box.machine.names_in("/absent"), testing::IsEmpty());
  EXPECT_EQ(box.machine.size_of("/proc/version"), 5u);
  EXPECT_FALSE(box.machine.exists("/etc/passwd"));
}

TEST(Machine, FindsProgramsAsAShellWould) {
  const Box box;
  box.program("/usr/bin/vllm", "x");
  box.file("/venv/bin/vllm", "cannot be run");
  EXPECT_EQ(box.machine.find_program("vllm"), "/usr/bin/vllm");
  box.program("/venv/bin/vllm", "x");
  EXPECT_EQ(box.machine.find_program("vllm"), "/venv/bin/vllm");
  box.program("/home/me/tools/vllm", "x");
  EXPECT_EQ(box.machine.find_program("tools/vllm"), "/home/me/tools/vllm");
  EXPECT_EQ(box.machine.find_program("./absent"), "");
  EXPECT_EQ(box.machine.find_program(""), "");
}

TEST(Machine, NamesProcessesByTheirProgramOrTheKernelsWord) {
  const Box box;
  box.file("/proc/7/cmdline", std::string("/usr/bin/python3\0-m\0x", 21));
  box.file("/proc/8/cmdline", "");
  box.file("/proc/8/comm", "kthread\n");
  EXPECT_EQ(box.machine.process_name(7), "python3");
  EXPECT_EQ(box.machine.process_name(8), "kthread");
  EXPECT_EQ(box.machine.process_name(9), "");
}

TEST(Machine, NamesTheDaemonsThatKeepWeights) {
  const Box box;
  const auto words = [](std::string text) {
    std::ranges::replace(text, ' ', '\0');
    return text + '\0';
  };
  box.file("/proc/7/cmdline", words("/venv/bin/python3 /venv/bin/vllm preload --model m"));
  box.file("/proc/8/cmdline", words("/venv/bin/python3 -c spawn_main --multiprocessing-fork"));
  box.file("/proc/8/status", "Name:\tpython3\nPPid:\t7\nUid:\t0\n");
  box.file("/proc/9/cmdline", words("/venv/bin/python3 /venv/bin/vllm serve m"));
  box.file("/proc/9/status", "Name:\tpython3\nPPid:\t1\nUid:\t0\n");
  EXPECT_EQ(box.machine.process_name(7), kWeightKeeper);
  EXPECT_EQ(box.machine.process_name(8), kWeightKeeper);
  EXPECT_EQ(box.machine.process_name(9), "python3");
}

TEST(ThisMachine, KnowsItsDiskAndItsPorts) {
  const Machine machine = this_machine({});
  EXPECT_GT(machine.space_for("/no/such/folder/yet")->total, 0u);
  EXPECT_GT(machine.descriptors().hard, 0u);
  EXPECT_EQ(machine.process_name(static_cast<unsigned>(::getpid())), "launcher_tests");

  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_FALSE(machine.is_port_free(ntohs(address.sin_port)));
  ::close(listener);
  EXPECT_TRUE(machine.is_port_free(ntohs(address.sin_port)));
}

}  // namespace
}  // namespace batchproxy
