// tests/launcher/process/lease_test.cc - what is leased is one batchproxy's alone.
#include "launcher/process/lease.h"

#include <filesystem>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace batchproxy {
namespace {

// Ours alone: other tests and batchproxies of this machine hold leases too.
const std::string kName = "test-" + std::to_string(getpid());

TEST(Lease, IsExclusiveUntilItIsDropped) {
  std::optional<Lease> held = Lease::take(kName);
  EXPECT_TRUE(held);
  EXPECT_FALSE(Lease::take(kName));
  EXPECT_TRUE(Lease::take(kName + "-other"));
  held.reset();
  EXPECT_TRUE(Lease::take(kName));
}

TEST(Lease, Moves) {
  auto first = Lease::take(kName);
  const Lease second = *std::move(first);
  first.reset();
  EXPECT_FALSE(Lease::take(kName));
}

TEST(Lease, IsNotInheritedByOtherPrograms) {
  const auto lease = Lease::take(kName);
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int descriptor = std::stoi(entry.path().filename().string());
    const std::string target = std::filesystem::read_symlink(entry.path()).string();
    if (target.rfind("socket:", 0) == 0) {
      EXPECT_TRUE(fcntl(descriptor, F_GETFD) & FD_CLOEXEC) << target;
    }
  }
}

}  // namespace
}  // namespace batchproxy
