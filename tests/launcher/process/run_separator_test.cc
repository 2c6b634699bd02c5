// tests/launcher/process/run_separator_test.cc - the line between two runs in one log.
#include "launcher/process/run_separator.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(RunSeparator, IsReadAsItIsWritten) {
  const std::string line = run_separator(run_name("engine-0", 3), "2026-11-29T14:33:18Z");
  EXPECT_EQ(line, "=== batchproxy: engine-0, run 3, 2026-11-29T14:33:18Z ===");
  EXPECT_EQ(run_in(line), "engine-0, run 3, 2026-11-29T14:33:18Z");
}

TEST(RunSeparator, IsNoOtherLine) {
  for (const char* line : {"", "===", "=== batchproxy: ===", "=== batchproxy:  ===",
                           "INFO === batchproxy: engine-0 ===", "=== batchproxy: engine-0"}) {
    EXPECT_EQ(run_in(line), "") << line;
  }
}

}  // namespace
}  // namespace batchproxy
