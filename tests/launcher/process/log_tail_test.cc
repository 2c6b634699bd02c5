// tests/launcher/process/log_tail_test.cc - only new bytes, only this run's lines.
#include "launcher/process/log_tail.h"

#include <fstream>

#include <gtest/gtest.h>

#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

using Lines = std::vector<std::string>;

class LogTailTest : public testing::Test {
 protected:
  void append(const std::string& text) { std::ofstream(path_, std::ios::app) << text; }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.file("engine.log");
};

TEST_F(LogTailTest, ReadsEachByteOnce) {
  LogTail tail(path_);
  EXPECT_EQ(tail.read_new(), "");
  append("one");
  EXPECT_EQ(tail.read_new(), "one");
  EXPECT_EQ(tail.read_new(), "");
  append("two");
  EXPECT_EQ(tail.read_new(), "two");
}

TEST_F(LogTailTest, ReadsNoMoreThanAllowedAndThenTheRest) {
  LogTail tail(path_);
  append("abcdef");
  EXPECT_EQ(tail.read_new(4), "abcd");
  EXPECT_EQ(tail.read_new(4), "ef");
}

TEST_F(LogTailTest, LeavesOutEarlierRuns) {
  append("old\n");
  LogTail tail(path_);
  append("new\n");
  EXPECT_EQ(tail.last_lines(20), Lines{"new"});
  EXPECT_EQ(tail.read_new(), "new\n");
}

TEST_F(LogTailTest, BeginsAgainWhenTheFileWasCutShort) {
  append("a long line of an earlier run\n");
  LogTail tail(path_);
  std::ofstream(path_, std::ios::trunc) << "fresh\n";
  EXPECT_EQ(tail.last_lines(20), Lines{"fresh"});
  EXPECT_EQ(tail.read_new(), "fresh\n");
}

TEST_F(LogTailTest, LastLinesCountsProgressBarsAndSkipsEmptyLines) {
  LogTail tail(path_);
  append("a\n\nb\n 10%\r 20%\nerror: out of memory");
  EXPECT_EQ(tail.last_lines(3), (Lines{" 10%", " 20%", "error: out of memory"}));
}

TEST_F(LogTailTest, LastLinesOfAHugeLogAreItsEnd) {
  LogTail tail(path_);
  append(std::string(1 << 20, 'x') + "\nlast\n");
  EXPECT_EQ(tail.last_lines(1), Lines{"last"});
}

}  // namespace
}  // namespace batchproxy
