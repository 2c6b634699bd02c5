// tests/launcher/process/shim_status_test.cc - status lines survive the pipe.
#include "launcher/process/shim_status.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using Kind = ShimStatus::Kind;

TEST(ShimStatus, ReadsWhatItWrites) {
  for (const ShimStatus& status :
       {ShimStatus{Kind::kPid, 123}, ShimStatus{Kind::kExecFailed, 2},
        ShimStatus{Kind::kFailed, 0, "no space left"}, ShimStatus{Kind::kExited, 1},
        ShimStatus{Kind::kKilled, 9}, ShimStatus{Kind::kGone}}) {
    const std::string line = to_line(status);
    ASSERT_EQ(line.back(), '\n');
    EXPECT_EQ(parse_shim_status(line.substr(0, line.size() - 1)), status) << line;
  }
}

TEST(ShimStatus, IgnoresWhatIsNotItsOwn) {
  for (const char* line : {"", "pid", "pid ", "pid 1x", "exited 1", "gone away", "hello"}) {
    EXPECT_FALSE(parse_shim_status(line)) << line;
  }
}

TEST(ShimStatus, IsDescribedForPeople) {
  EXPECT_EQ(describe({Kind::kExited, 1}), "exit code 1");
  EXPECT_EQ(describe({Kind::kKilled, 9}), "killed by SIGKILL");
  EXPECT_EQ(describe({Kind::kExecFailed, 2}), "could not be started: No such file or directory");
}

}  // namespace
}  // namespace batchproxy
