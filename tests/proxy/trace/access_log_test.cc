// tests/proxy/trace/access_log_test.cc - which requests have a line, and what becomes of lines when
// the file goes away or stands still.
#include "proxy/trace/access_log.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/trace/name_table.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

const std::string kPrefix = "bp1-00-";

struct InFolder : ::testing::Test {
  InFolder() {
    std::string made = (std::filesystem::temp_directory_path() / "access_log.XXXXXX").string();
    folder = ::mkdtemp(made.data());
    path = folder / "requests.log";
  }
  ~InFolder() override { std::filesystem::remove_all(folder); }
  std::string text(const std::string& name = "requests.log") const {
    std::ifstream in(folder / name);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  std::filesystem::path folder, path;
};
using LogFileIn = InFolder;
using AccessLogIn = InFolder;

RequestRecord record(std::uint64_t number, Duration total = 1ms, Finish finish = Finish::kOk) {
  RequestRecord record;
  record.id = {kPrefix, number};
  record.arrival = TimePoint(1h);
  record.ended = record.arrival + total;
  record.finish = finish;
  return record;
}

TEST_F(LogFileIn, IsOpenedAnewWhenItWasMovedAway) {
  LogFile file;
  ASSERT_TRUE(file.set_path(path));
  EXPECT_EQ(file.write("1\n2\n", 1s), 2u);
  std::filesystem::rename(path, folder / "old.log");
  file.look_whether_moved();
  EXPECT_EQ(file.write("3\n", 1s), 1u);
  EXPECT_EQ(text("old.log"), "1\n2\n");
  EXPECT_EQ(text(), "3\n");
}

TEST_F(LogFileIn, SaysWhyItCannotBeOpened) {
  LogFile file;
  EXPECT_FALSE(file.set_path(folder / "nowhere" / "requests.log"));
  EXPECT_NE(file.problem().find("No such file"), std::string::npos) << file.problem();
  EXPECT_EQ(file.write("1\n", 1s), 0u);
}

TEST_F(LogFileIn, WaitsForNoReaderForEver) {
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  LogFile file;
  ASSERT_TRUE(file.set_path(path));
  const std::string lines(1 << 20, '\n');  // more than a pipe holds
  EXPECT_LT(file.write(lines, 100ms), lines.size());
  EXPECT_FALSE(file.problem().empty());
  ::close(reader);
}

TEST(AccessLogSettings, ChooseByResultTimeAndChance) {
  AccessLogSettings all, failed, slow, share;
  failed.which = *read_log_choice("failed");
  slow.which = *read_log_choice("slow");
  share.which = *read_log_choice("25%");
  EXPECT_TRUE(all.wants(record(1)));
  EXPECT_FALSE(failed.wants(record(1)));
  EXPECT_TRUE(failed.wants(record(1, 1ms, Finish::kClientGone)));
  EXPECT_FALSE(slow.wants(record(1)));
  EXPECT_TRUE(slow.wants(record(1, 2s)));
  EXPECT_TRUE(slow.wants(record(1, 1ms, Finish::kTimeout)));
  int chosen = 0;
  for (std::uint64_t i = 0; i < 4000; ++i) chosen += share.wants(record(i));
  EXPECT_NEAR(chosen, 1000, 120);
}

TEST(LogChoice, IsAWordOrAPercentage) {
  EXPECT_TRUE(read_log_choice("0.5%"));
  for (const char* wrong : {"", "some", "%", "101%", "-1%", "5", "nan%"}) {
    EXPECT_FALSE(read_log_choice(wrong)) << wrong;
  }
}

struct LoggedThread {
  LoggedThread() { log.add(io, ring); }
  asio::io_context io;
  RecordRing ring{4};
  AccessLog log;
};

TEST_F(AccessLogIn, WritesWhatIsLeftAtTheEndAndCountsWhatWasWrittenOver) {
  LoggedThread thread;
  thread.log.set({.file = path, .json = true});
  thread.ring.next() = record(1);  // the log's thread may not have begun
  while (text().empty()) {
    thread.io.restart();
    thread.io.poll();
  }
  for (std::uint64_t i = 100; i < 110; ++i) thread.ring.next() = record(i);
  thread.log.finish();
  EXPECT_EQ(text().find("bp1-00-00000064"), std::string::npos);
  EXPECT_NE(text().find("bp1-00-0000006d"), std::string::npos) << text();
  EXPECT_GE(thread.log.lost(), 6u);
}

TEST(NameTable, KeepsOneCopyOfEachNameAndNotTooMany) {
  NameTable names;
  const std::string* a = names.keep("a");
  EXPECT_EQ(names.keep("b")->front(), 'b');
  EXPECT_EQ(names.keep("a"), a);
  EXPECT_EQ(names.keep(""), nullptr);
  EXPECT_EQ(names.keep(std::string(1000, 'x'))->size(), NameTable::kLongest);
  for (std::size_t i = 0; i < 2 * NameTable::kMost; ++i) names.keep(std::to_string(i));
  EXPECT_EQ(names.keep("one more"), nullptr);
  EXPECT_EQ(names.keep("a"), a);
}

}  // namespace
}  // namespace batchproxy
