// tests/jobs/ledger_test.cc - the ledger: what it keeps, what it refuses, and that no crash breaks
// "each key exactly once".
#include "proxy/jobs/ledger.h"

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/jobs/answer_packing.h"

namespace batchproxy {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class LedgerTest : public ::testing::Test {
 protected:
  LedgerTest() {
    std::string name = (fs::temp_directory_path() / "ledger_test.XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ / "job.ledger";
  }
  ~LedgerTest() override {
    fs::permissions(folder_, fs::perms::owner_all);
    fs::remove_all(folder_);
  }

  static void read(Ledger& ledger, int count, const std::string& body = "body") {
    Ledger::Reading reading(ledger);
    for (int i = 0; i < count; ++i) {
      reading.note(fmt::format("k{}", i), hash_of_body(fmt::format("{}{}", body, i)), i + 1);
    }
    reading.commit();
  }
  static ItemOutcome answered(const std::string& key, const std::string& answer) {
    ItemOutcome outcome;
    outcome.key = key;
    outcome.status = 200;
    outcome.answer = answer;
    outcome.backend = "b";
    outcome.prompt_tokens = 3;
    return outcome;
  }
  std::string problem() const {
    try {
      Ledger ledger(path_);
    } catch (const LedgerError& error) {
      return error.what();
    }
    return "";
  }

  fs::path folder_;
  fs::path path_;
};

TEST_F(LedgerTest, KeepsAnswersAndCounts) {
  {
    Ledger ledger(path_);
    read(ledger, 3);
    ItemOutcome failed = answered("k2", "no");
    failed.state = ItemState::kFailed;
    ledger.record({answered("k1", "yes"), failed});
  }
  Ledger ledger(path_);
  EXPECT_EQ(ledger.counts().waiting, 1);
  EXPECT_EQ(ledger.counts().answered, 1);
  EXPECT_EQ(ledger.counts().failed, 1);
  EXPECT_EQ(ledger.state_of("k0"), ItemState::kWaiting);
  EXPECT_EQ(ledger.state_of("nobody"), std::nullopt);
  std::vector<std::string> seen;
  ledger.walk(2, [&](const LedgerItem& item) {
    seen.push_back(fmt::format("{} {} {}", item.position, item.outcome.key, item.outcome.answer));
    return true;
  });
  EXPECT_THAT(seen, ::testing::ElementsAre("2 k1 yes", "3 k2 no"));
}

TEST_F(LedgerTest, TheFirstAnswerCounts) {
  Ledger ledger(path_);
  read(ledger, 1);
  ledger.record({answered("k0", "first")});
  ItemOutcome later = answered("k0", "second");
  later.state = ItemState::kFailed;
  ledger.record({answered("k0", "second"), later, answered("unknown", "x")});
  EXPECT_EQ(ledger.counts().all(), 1);
  ledger.walk(0, [](const LedgerItem& item) {
    EXPECT_EQ(item.outcome.answer, "first");
    return true;
  });
}

TEST_F(LedgerTest, AnotherBodyIsAnotherQuestion) {
  Ledger ledger(path_);
  read(ledger, 2);
  ledger.record({answered("k0", "a"), answered("k1", "b")});
  read(ledger, 2);
  EXPECT_EQ(ledger.counts().answered, 2);
  read(ledger, 1, "changed");
  EXPECT_EQ(ledger.counts().waiting, 1);
  EXPECT_EQ(ledger.state_of("k1"), std::nullopt) << "it has left the file";
  read(ledger, 2);
  EXPECT_EQ(ledger.state_of("k1"), ItemState::kAnswered) << "it is back, with its answer";
}

TEST_F(LedgerTest, AReadingThatEndsEarlyNeverWas) {
  Ledger ledger(path_);
  read(ledger, 2);
  ledger.record({answered("k0", "a")});
  {
    Ledger::Reading reading(ledger);
    EXPECT_EQ(reading.note("k0", "other", 1), std::nullopt);
    EXPECT_EQ(reading.note("k0", "other", 5), 1) << "a key that is there twice";
  }
  EXPECT_EQ(ledger.state_of("k0"), ItemState::kAnswered);
  EXPECT_EQ(ledger.counts().all(), 2);
}

TEST_F(LedgerTest, FailedItemsWaitAgainWhenAsked) {
  Ledger ledger(path_);
  read(ledger, 1);
  ItemOutcome failed = answered("k0", "no");
  failed.state = ItemState::kFailed;
  ledger.record({failed});
  Ledger::Reading reading(ledger);
  reading.note("k0", hash_of_body("body0"), 1);
  reading.retry_failed();
  reading.commit();
  EXPECT_EQ(ledger.counts().waiting, 1);
}

TEST_F(LedgerTest, TwoNeverShareAFile) {
  Ledger ledger(path_);
  const pid_t child = ::fork();
  if (child == 0)
    ::_exit(problem().find("only one process may use it") == std::string::npos ? 1 : 0);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(LedgerTest, OneIsLookedAtBesideItsOwner) {
  Ledger owner(path_);
  read(owner, 3);
  owner.record({answered("k1", "one")});
  const std::string us = fmt::format("process {}", ::getpid());
  const auto is_right = [&](std::int64_t so_far) {
    Ledger look(path_, Database::Access::kLook);
    bool refused = false;
    try {
      look.record({answered("k0", "never")});
    } catch (const LedgerError&) {
      refused = true;
    }
    return refused && look.user() == us && look.counts().answered == so_far;
  };
  for (std::int64_t so_far = 1; so_far <= 2; ++so_far) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(is_right(so_far) ? 0 : 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << so_far;
    owner.record({answered("k2", "two")});
  }
  EXPECT_EQ(owner.counts().waiting, 1);
}

TEST_F(LedgerTest, OneThatNobodyHasIsLookedAtAndLeftAsItWas) {
  {
    Ledger owner(path_);
  }
  {
    EXPECT_EQ(Ledger(path_, Database::Access::kLook).user(), "");
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "no log is left";
}

TEST_F(LedgerTest, NeedsNoSharedMemory) {
  sqlite3_vfs* usual = sqlite3_vfs_find(nullptr);
  sqlite3_vfs_register(sqlite3_vfs_find("unix-none"), 1);
  {
    Ledger ledger(path_);
    read(ledger, 2);
    ledger.record({answered("k1", "one")});
    EXPECT_FALSE(fs::exists(path_.string() + "-shm"));
    EXPECT_THAT(problem(), HasSubstr("only one process may use it"));
  }
  EXPECT_EQ(Ledger(path_).counts().answered, 1);
  sqlite3_vfs_register(usual, 1);
}

TEST_F(LedgerTest, SaysWhatIsWrong) {
  {
    Ledger ledger(path_);
  }
  sqlite3* raw = nullptr;
  sqlite3_open(path_.c_str(), &raw);
  sqlite3_exec(raw, "PRAGMA user_version=99", nullptr, nullptr, nullptr);
  sqlite3_close(raw);
  EXPECT_THAT(problem(), HasSubstr("newer batchproxy (schema 99"));
  std::ofstream(path_, std::ios::trunc) << std::string(8192, 'x');
  EXPECT_THAT(problem(), HasSubstr("is damaged"));
  path_ = folder_ / "missing" / "job.ledger";
  EXPECT_THAT(problem(), HasSubstr("its directory must exist and be writable"));
}

TEST_F(LedgerTest, AFullDiskLosesNothingRecorded) {
  Ledger ledger(path_);
  read(ledger, 100);
  ledger.record({answered("k0", "kept")});
  Database& database = ledger.database();
  const std::string pages = database.value_of("PRAGMA page_count");
  database.value_of(("PRAGMA max_page_count=" + pages).c_str());
  std::mt19937 random(1);
  std::string noise(1 << 20, '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  try {
    ledger.record({answered("k1", "small"), answered("k2", noise)});
    ADD_FAILURE() << "no error";
  } catch (const LedgerError& error) {
    EXPECT_THAT(error.what(), HasSubstr("disk of the ledger"));
  }
  EXPECT_EQ(ledger.counts().answered, 1) << "all of a group or nothing";
}

// A log that was cut short holds whole transactions up to the cut.
TEST_F(LedgerTest, ACutLogLosesItsEndOnly) {
  const fs::path copy = folder_ / "copy.ledger";
  {
    Ledger ledger(path_);
    read(ledger, 200);
    for (int i = 0; i < 200; ++i) ledger.record({answered(fmt::format("k{}", i), "a")});
    fs::copy_file(path_, copy);  // as a crash leaves them
    fs::copy_file(path_.string() + "-wal", copy.string() + "-wal");
  }
  const std::string log = copy.string() + "-wal";
  fs::resize_file(log, fs::file_size(log) - 5000);
  Ledger ledger(copy);
  EXPECT_EQ(ledger.counts().all(), 200);
  EXPECT_GT(ledger.counts().answered, 150);
  EXPECT_LT(ledger.counts().answered, 200);
}

// Answers all that waits, and says each key into `told` once it is recorded.
[[noreturn]] void answer_all(const std::string& path, int count, int told) {
  Ledger ledger(path);
  {
    Ledger::Reading reading(ledger);
    for (int i = 0; i < count; ++i) reading.note(std::to_string(i), "hash", i);
    reading.commit();
  }
  std::vector<ItemOutcome> group;
  for (int i = 0; i < count; ++i) {
    if (ledger.state_of(std::to_string(i)) != ItemState::kWaiting) continue;
    ItemOutcome outcome;
    outcome.key = std::to_string(i);
    outcome.answer = fmt::format("answer to {}", i);
    group.push_back(outcome);
    if (group.size() < 5 && i + 1 < count) continue;
    ledger.record(group);
    for (const ItemOutcome& done : group) {
      const int number = std::stoi(done.key);
      if (::write(told, &number, sizeof number) != sizeof number) ::_exit(3);
    }
    group.clear();
  }
  ledger.record(group);
  ::_exit(0);
}

TEST_F(LedgerTest, NoKillBreaksEachKeyExactlyOnce) {
  constexpr int kCount = 1500;
  const char* const more = std::getenv("BATCHPROXY_LEDGER_KILLS");
  const int kills = more == nullptr ? 50 : std::stoi(more);
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_NONBLOCK), 0);
  std::mt19937 random(7);
  std::set<int> told;
  for (int kill = 0; kill <= kills; ++kill) {
    const pid_t child = ::fork();
    if (child == 0) answer_all(path_, kCount, pipe[1]);
    if (kill < kills) {  // the random moment is the test
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000));
      ::kill(child, SIGKILL);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (kill == kills) {
      ASSERT_EQ(status, 0);
    }
    for (int number = 0; ::read(pipe[0], &number, sizeof number) == sizeof number;) {
      EXPECT_TRUE(told.insert(number).second) << number << " was recorded twice";
    }
    Ledger ledger(path_);
    for (const int number : told) {
      ASSERT_EQ(ledger.state_of(std::to_string(number)), ItemState::kAnswered) << number;
    }
  }
  Ledger ledger(path_);
  int next = 0;
  ledger.walk(0, [&](const LedgerItem& item) {
    EXPECT_EQ(item.outcome.key, std::to_string(next));
    EXPECT_EQ(item.outcome.answer, fmt::format("answer to {}", next));
    ++next;
    return true;
  });
  EXPECT_EQ(next, kCount);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_F(LedgerTest, FindsAnItemIfItIsStillThisQuestion) {
  Ledger ledger(path_);
  read(ledger, 2);
  ledger.record({answered("k1", "yes")});
  ASSERT_TRUE(ledger.find("k1", hash_of_body("body1")));
  EXPECT_EQ(ledger.find("k1", hash_of_body("body1"))->outcome.answer, "yes");
  EXPECT_FALSE(ledger.find("k1", hash_of_body("body2")));
  EXPECT_FALSE(ledger.find("k7", hash_of_body("body1")));
}

TEST_F(LedgerTest, SumsUpAJobAndForgetsWhatHasLeftTheFile) {
  Ledger ledger(path_);
  read(ledger, 4);
  ItemOutcome failed = answered("k2", "no");
  failed.state = ItemState::kFailed;
  failed.status = 404;
  ledger.record({answered("k0", "yes"), answered("k3", "yes"), failed});
  read(ledger, 3);
  const LedgerSummary summary = ledger.summary();
  EXPECT_EQ(summary.counts.answered, 1);
  EXPECT_EQ(summary.forgotten, 1);
  EXPECT_EQ(summary.prompt_tokens, 6);
  EXPECT_EQ(summary.tries, 2);
  EXPECT_EQ(summary.by_backend.at("b"), 1);
  EXPECT_EQ(summary.failed_status.at(404), 1);
  EXPECT_EQ(ledger.prune(), 1);
  EXPECT_EQ(ledger.summary().forgotten, 0);
  EXPECT_EQ(ledger.counts().all(), 3);
}

TEST(AnswerPackingTest, GivesBackWhatItTook) {
  const std::string usual =
      R"({"id":"cmpl-9","object":"text_completion","created":1,"model":"m","choices":[{"index":0,)"
      R"("text":" B","logprobs":null,"finish_reason":"length","stop_reason":null}],"usage":{)"
      R"("prompt_tokens":311,"total_tokens":312,"completion_tokens":1}})";
  for (const std::string& answer : {std::string(), std::string("x"), usual}) {
    EXPECT_EQ(unpack_answer(pack_answer(answer)), answer);
  }
  EXPECT_LT(pack_answer(usual).size(), usual.size() / 2);
}

TEST(AnswerPackingTest, RefusesWhatIsDamaged) {
  std::string packed = pack_answer("some words of an answer");
  packed.back() = static_cast<char>(packed.back() ^ 1);
  EXPECT_NE(unpack_answer(packed), "some words of an answer");
  EXPECT_EQ(unpack_answer(""), std::nullopt);
  EXPECT_EQ(unpack_answer("2abc"), std::nullopt) << "a dictionary that we do not know";
}

}  // namespace
}  // namespace batchproxy
