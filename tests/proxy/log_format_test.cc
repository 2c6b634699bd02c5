// tests/proxy/log_format_test.cc - messages of ours as text, for the journal, and as JSON.
#include "proxy/control/log_format.h"

#include <chrono>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>
#include <spdlog/details/log_msg.h>

namespace batchproxy {
namespace {

std::string written(std::string_view format, bool to_journal) {
  using std::chrono::year, std::chrono::January;
  const std::chrono::sys_days day(year(2026) / January / 2);
  const auto time = day + std::chrono::hours(3) + std::chrono::milliseconds(7);
  const spdlog::details::log_msg message(time, {}, "batchproxy", spdlog::level::warn,
                                         "an \"odd\" word\nand a second line");
  spdlog::memory_buf_t out;
  log_formatter(format, to_journal)->format(message, out);
  return {out.data(), out.size()};
}

TEST(LogFormat, IsOneLineWithItsLevel) {
  EXPECT_TRUE(written("text", false).ends_with(" warning an \"odd\" word\\nand a second line\n"))
      << written("text", false);
}

TEST(LogFormat, HasAPriorityForTheJournalAndNoTime) {
  EXPECT_EQ(written("text", true), "<4>an \"odd\" word\\nand a second line\n");
}

TEST(LogFormat, CanBeJson) {
  EXPECT_EQ(written("json", false),
            "{\"time\":\"2026-01-02T03:00:00.007Z\",\"level\":\"warning\","
            "\"message\":\"an \\\"odd\\\" word\\nand a second line\"}\n");
}

TEST(LogFormat, OfTheJournalNeedsItsStream) {
  ::setenv("JOURNAL_STREAM", "1:1", 1);
  EXPECT_FALSE(is_journal());
  ::unsetenv("JOURNAL_STREAM");
  EXPECT_FALSE(is_journal());
}

}  // namespace
}  // namespace batchproxy
