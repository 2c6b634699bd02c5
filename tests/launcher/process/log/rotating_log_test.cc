// tests/launcher/process/log/rotating_log_test.cc - a log file that stays within its bound.
#include "launcher/process/log/rotating_log.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(RotatingLog, AppendsToWhatIsThere) {
  TemporaryDirectory directory;
  const std::string path = directory.file("logs/engine-0.log");
  for (const char* text : {"one\n", "two\n"}) {
    RotatingLog log;
    ASSERT_TRUE(log.open(path));
    log.write(text);
  }
  EXPECT_EQ(text_of(path), "one\ntwo\n");
}

TEST(RotatingLog, KeepsSoManyFilesOfSoManyBytes) {
  TemporaryDirectory directory;
  const std::string path = directory.file("engine-0.log");
  RotatingLog log;
  ASSERT_TRUE(log.open(path, {.bytes = 10, .kept = 2}));
  for (int i = 0; i < 10; ++i) log.write("line " + std::to_string(i) + "\n");
  EXPECT_EQ(text_of(path), "line 9\n");
  EXPECT_EQ(text_of(path + ".1"), "line 8\n");
  EXPECT_EQ(text_of(path + ".2"), "line 7\n");
  EXPECT_FALSE(std::filesystem::exists(path + ".3"));
}

TEST(RotatingLog, StaysTheFileThatIsLocked) {
  TemporaryDirectory directory;
  const std::string path = directory.file("engine-0.log");
  std::ofstream(path) << "before\n";
  const int locked = ::open(path.c_str(), O_RDONLY);
  ASSERT_EQ(::flock(locked, LOCK_EX | LOCK_NB), 0);
  RotatingLog log;
  ASSERT_TRUE(log.open(path, {.bytes = 8, .kept = 1}));
  log.write("after\n");
  const int other = ::open(path.c_str(), O_RDONLY);
  EXPECT_NE(::flock(other, LOCK_EX | LOCK_NB), 0);
  ::close(other);
  ::close(locked);
}

TEST(RotatingLog, DropsWhatCannotBeWrittenAndSaysNothingOfItToTheWriter) {
  RotatingLog log;
  ASSERT_TRUE(log.open("/dev/full", {.kept = 0}));
  log.write("nowhere\n");
  log.write("nowhere\n");
}

TEST(RotatingLog, SaysWhyItCannotBeOpened) {
  RotatingLog log;
  EXPECT_FALSE(log.open("/proc/no/engine.log"));
  EXPECT_EQ(errno, ENOENT);
}

}  // namespace
}  // namespace batchproxy
