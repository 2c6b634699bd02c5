// tests/jobs/answer_file_test.cc - lines of answers, each exactly once, as the ledger has them.
#include "proxy/jobs/run/answer_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>
#include <unistd.h>

namespace batchproxy {
namespace {

namespace fs = std::filesystem;

ItemOutcome outcome(const std::string& key, unsigned status, const std::string& answer) {
  ItemOutcome made;
  made.key = key;
  made.status = status;
  made.answer = answer;
  made.state = status == 200 ? ItemState::kAnswered : ItemState::kFailed;
  return made;
}

TEST(AnswerLine, SaysWhatCameOfAnItem) {
  EXPECT_EQ(answer_line(outcome("a\"b", 200, "{\n \"x\": 1}\n"), false),
            "{\"custom_id\":\"a\\\"b\",\"response\":{\"status_code\":200,\"body\":{\"x\":1}},"
            "\"error\":null}\n");
  EXPECT_EQ(answer_line(outcome("k", 500, "Internal Server Error"), false),
            "{\"custom_id\":\"k\",\"response\":{\"status_code\":500,\"body\":"
            "\"Internal Server Error\"},\"error\":{\"code\":\"http_error\",\"message\":"
            "\"status 500 after 1 attempt\"}}\n");
  EXPECT_EQ(answer_line(outcome("k", 0, "cannot connect"), false),
            "{\"custom_id\":\"k\",\"response\":null,\"error\":{\"code\":\"no_answer\","
            "\"message\":\"cannot connect\"}}\n");
}

TEST(AnswerLine, IsUtf8WhateverAServerSays) {
  EXPECT_NE(answer_line(outcome("k", 500, "caf\xe9"), false).find("\"caf?\""), std::string::npos);
}

TEST(AnswerLine, SaysWhereItIsFrom) {
  ItemOutcome made = outcome("k", 200, "{}");
  made.backend = "gpu1:8000";
  made.batch = "5/8";
  made.asked_ms = 1000;
  made.answered_ms = 1250;
  EXPECT_NE(
      answer_line(made, true)
          .find(R"("provenance":{"backend":"gpu1:8000","batch":"5/8","attempts":1,"asked_ms":1000,)"
                R"("latency_ms":250,"prompt_tokens":0,"completion_tokens":0}})"),
      std::string::npos);
}

class AnswerFileTest : public ::testing::Test {
 protected:
  AnswerFileTest() {
    std::string name = (fs::temp_directory_path() / "answer_file_test.XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    path_ = (folder_ / "answers").string();
    ledger_.emplace((folder_ / "ledger").string());
    Ledger::Reading reading(*ledger_);
    for (int i = 1; i <= 4; ++i) reading.note("k" + std::to_string(i), "hash", i);
    reading.commit();
  }
  ~AnswerFileTest() override {
    ledger_.reset();
    fs::remove_all(folder_);
  }
  // The keys in the file, as digits.
  std::string keys() const {
    std::ifstream in(path_);
    std::string found;
    for (std::string line; std::getline(in, line);) found += line.at(15);
    return found;
  }
  void record(AnswerFile& file, const std::vector<ItemOutcome>& outcomes, bool in_order) {
    ledger_->record(outcomes);
    in_order ? file.append_in_order(*ledger_) : file.append(outcomes);
  }

  fs::path folder_;
  std::string path_;
  std::optional<Ledger> ledger_;
};

TEST_F(AnswerFileTest, HoldsAnswersAsTheyCome) {
  AnswerFile file(path_, ItemState::kAnswered, false);
  file.write_anew(*ledger_, false);
  record(file, {outcome("k3", 200, "{}"), outcome("k2", 400, "{}")}, false);
  record(file, {outcome("k1", 200, "{}")}, false);
  EXPECT_EQ(keys(), "31");
}

TEST_F(AnswerFileTest, InOrderItWaitsForThoseBefore) {
  AnswerFile file(path_, ItemState::kAnswered, false);
  file.write_anew(*ledger_, true);
  record(file, {outcome("k3", 200, "{}"), outcome("k4", 200, "{}")}, true);
  EXPECT_EQ(keys(), "");
  record(file, {outcome("k1", 200, "{}")}, true);
  EXPECT_EQ(keys(), "1");
  record(file, {outcome("k2", 400, "{}")}, true);
  EXPECT_EQ(keys(), "134") << "one that failed keeps nobody waiting";
}

TEST_F(AnswerFileTest, WhatACrashLeftIsReplacedByWhatTheLedgerHas) {
  ledger_->record({outcome("k2", 200, "{}"), outcome("k4", 200, "{}")});
  std::ofstream(path_) << "{\"custom_id\":\"k2\"}\n{\"custom_id\":\"k9\"}\n{\"cust";
  AnswerFile file(path_, ItemState::kAnswered, false);
  file.write_anew(*ledger_, false);
  EXPECT_EQ(keys(), "24");
  file.append({outcome("k1", 200, "{}")});
  EXPECT_EQ(keys(), "241");
}

TEST_F(AnswerFileTest, AFileOfErrorsWithoutOneGoes) {
  {
    AnswerFile file(path_, ItemState::kFailed, false);
    file.write_anew(*ledger_, false);
    file.finish();
    EXPECT_FALSE(fs::exists(path_));
  }
  AnswerFile file(path_, ItemState::kFailed, false);
  file.write_anew(*ledger_, false);
  record(file, {outcome("k3", 500, "{}"), outcome("k1", 200, "{}")}, false);
  file.finish();
  EXPECT_EQ(keys(), "3");
}

}  // namespace
}  // namespace batchproxy
