// tests/launcher/process/engine_logs_test.cc - who writes where, and what is said when nobody can.
#include "launcher/process/engine_logs.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

std::vector<EnginePlan> two_plans() {
  std::vector<EnginePlan> plans(2);
  plans[0].name = "engine-0";
  plans[1].name = "engine-1";
  return plans;
}

TEST(EngineLogs, AreOpenedWhereTheyWereAskedFor) {
  const TemporaryDirectory directory;
  auto plans = two_plans();
  const auto logs = EngineLogs::open(directory.file("logs"), plans);
  ASSERT_TRUE(logs);
  EXPECT_EQ(plans[1].log_file, directory.file("logs") + "/engine-1.log");
  EXPECT_TRUE(std::filesystem::exists(plans[1].log_file));
  EXPECT_GE(plans[1].log_descriptor, 0);
}

TEST(EngineLogs, AreNeverSharedByTwo) {
  const TemporaryDirectory directory;
  auto mine = two_plans(), theirs = two_plans(), next = two_plans();
  {
    const auto first = EngineLogs::open(directory.file("logs"), mine);
    const auto second = EngineLogs::open(directory.file("logs"), theirs);
    ASSERT_TRUE(first && second);
    EXPECT_EQ(theirs[0].log_file, directory.file("logs") + "/proxy-2/engine-0.log");
  }
  ASSERT_TRUE(EngineLogs::open(directory.file("logs"), next));
  EXPECT_EQ(next[0].log_file, mine[0].log_file);
}

TEST(EngineLogs, SayWhyTheyCannotBeWritten) {
  const TemporaryDirectory directory;
  const std::string taken = directory.file("file");
  std::ofstream(taken) << "no directory";
  auto plans = two_plans();
  const auto logs = EngineLogs::open(taken + "/logs", plans);
  ASSERT_FALSE(logs);
  EXPECT_EQ(logs.error().text, "cannot make the directory " + taken +
                                   "/logs: Not a directory. Name another directory in "
                                   "batchproxy.launcher.log_directory");
  EXPECT_EQ(EngineLogs::problem(taken + "/logs", plans), logs.error().text);
  EXPECT_EQ(EngineLogs::problem(directory.file("a/b"), plans), "");
}

TEST(EngineLogs, AreRefusedWhereALogFileIsNone) {
  const TemporaryDirectory directory;
  std::filesystem::create_directories(directory.file("logs/engine-1.log"));
  auto plans = two_plans();
  const auto logs = EngineLogs::open(directory.file("logs"), plans);
  ASSERT_FALSE(logs);
  EXPECT_EQ(logs.error().text.find("cannot write the log file"), 0u);
  EXPECT_NE(logs.error().text.find("Is a directory"), std::string::npos);
}

}  // namespace
}  // namespace batchproxy
