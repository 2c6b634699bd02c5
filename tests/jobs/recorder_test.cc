// tests/jobs/recorder_test.cc - the recorder: what it answers, who waits for whom, and what is
// kept.
#include "proxy/jobs/recorder.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>

#include <gtest/gtest.h>
#include <unistd.h>

#include "proxy/jobs/deterministic.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;

class RecorderTest : public ::testing::Test {
 protected:
  RecorderTest() {
    std::string name = (fs::temp_directory_path() / "recorder_test.XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~RecorderTest() override { fs::remove_all(folder_); }

  using Asked = std::future<RecordedPtr>;
  static Asked ask(Recorder& recorder, const RecordKey& key) {
    auto told = std::make_shared<std::promise<RecordedPtr>>();
    recorder.find(key, [told](RecordedPtr answer) { told->set_value(std::move(answer)); });
    return told->get_future();
  }
  static RecordedPtr answer(const std::string& body) {
    Recorded recorded;
    recorded.body = body;
    recorded.content_type = "application/json";
    recorded.backend = "engine-2";
    recorded.batch = 7;
    recorded.batch_prompts = 3;
    recorded.attempts = 2;
    return std::make_shared<const Recorded>(std::move(recorded));
  }
  static bool waits(const Asked& asked) {
    return asked.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
  }
  // All that was said to the recorder before has been done.
  void settle(Recorder& recorder) {
    ask(recorder, {"", "settled", std::to_string(++settled_)}).get();
  }

  int settled_ = 0;

  fs::path folder_;
  fs::path file() const { return folder_ / "made" / "recorded.db"; }
  const RecordKey key_{"alice", "night", "hash"};
};

TEST_F(RecorderTest, CountsWhatBecomesOfAJobsRequests) {
  Recorder recorder(file());
  const auto job = [&] {
    recorder.look_at_jobs();
    settle(recorder);
    for (const RecordedJob& one : recorder.jobs()) {
      if (one.name == key_.job && one.owner == key_.owner) return one;
    }
    return RecordedJob{};
  };
  Asked first = ask(recorder, key_), second = ask(recorder, key_);
  EXPECT_EQ(first.get(), nullptr);
  EXPECT_EQ(job().under_way, 1u);
  recorder.finish(key_, answer("x"));
  second.get();
  ask(recorder, key_).get();
  RecordedJob after = job();
  EXPECT_EQ(after.under_way, 0u);
  EXPECT_EQ(after.recorded, 1u);
  EXPECT_EQ(after.replayed, 2u);
  const RecordKey other{key_.owner, key_.job, "another"};
  EXPECT_EQ(ask(recorder, other).get(), nullptr);
  recorder.finish(other, nullptr);
  after = job();
  EXPECT_EQ(after.under_way, 0u);
  EXPECT_EQ(after.recorded, 1u);
}

TEST_F(RecorderTest, AnswersWhatWasAnsweredBeforeEvenAfterANewStart) {
  {
    Recorder recorder(file());
    EXPECT_EQ(ask(recorder, key_).get(), nullptr);
    recorder.finish(key_, answer("A"));
    EXPECT_EQ(ask(recorder, key_).get()->body, "A");
  }
  Recorder recorder(file());
  const RecordedPtr again = ask(recorder, key_).get();
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->body, "A");
  EXPECT_EQ(again->content_type, "application/json");
  EXPECT_EQ(again->backend, "engine-2");
  EXPECT_EQ(again->batch, 7U);
  EXPECT_EQ(again->batch_prompts, 3U);
  EXPECT_EQ(again->attempts, 2U);
}

TEST_F(RecorderTest, KeepsOwnersJobsAndRequestsApart) {
  Recorder recorder(file());
  ask(recorder, key_).get();
  recorder.finish(key_, answer("A"));
  for (const RecordKey& other :
       {RecordKey{"bob", "night", "hash"}, RecordKey{"alice", "day", "hash"},
        RecordKey{"alice", "night", "hush"}}) {
    EXPECT_EQ(ask(recorder, other).get(), nullptr) << other.owner << other.job << other.hash;
  }
}

TEST_F(RecorderTest, EqualRequestsWaitForOneAnswer) {
  Recorder recorder(file());
  EXPECT_EQ(ask(recorder, key_).get(), nullptr);
  Asked second = ask(recorder, key_);
  Asked third = ask(recorder, key_);
  settle(recorder);
  EXPECT_TRUE(waits(second));
  recorder.finish(key_, answer("A"));
  EXPECT_EQ(second.get()->body, "A");
  EXPECT_EQ(third.get()->body, "A");
}

TEST_F(RecorderTest, TheNextAsksWhenOneGetsNoGoodAnswer) {
  Recorder recorder(file());
  EXPECT_EQ(ask(recorder, key_).get(), nullptr);
  Asked second = ask(recorder, key_);
  Asked third = ask(recorder, key_);
  recorder.finish(key_, nullptr);
  EXPECT_EQ(second.get(), nullptr);
  settle(recorder);
  EXPECT_TRUE(waits(third));
  recorder.finish(key_, answer("B"));
  EXPECT_EQ(third.get()->body, "B");
  recorder.finish(key_, nullptr);  // late: nobody asks any more
  EXPECT_EQ(ask(recorder, key_).get()->body, "B");
}

TEST_F(RecorderTest, TheFirstAnswerStays) {
  RecordStore store(folder_ / "r.db");
  store.add({{key_, answer("first")}});
  store.add({{key_, answer("second")}});
  EXPECT_EQ(store.find(key_)->body, "first");
  EXPECT_EQ(store.count("alice", "night"), 1);
  EXPECT_EQ(store.count("alice", "day"), 0);
}

TEST_F(RecorderTest, ADirectoryThatCannotBeMadeCostsTheRecordOnly) {
  std::ofstream(file().parent_path()) << "a file where the folder should be";
  Recorder recorder(file());
  EXPECT_EQ(ask(recorder, key_).get(), nullptr);
  Asked second = ask(recorder, key_);
  recorder.finish(key_, answer("A"));
  EXPECT_EQ(second.get()->body, "A");
  settle(recorder);
  settle(recorder);
  EXPECT_EQ(recorder.lost(), 1U);
}

TEST_F(RecorderTest, TwoNeverShareAFile) {
  Recorder first(file());
  ask(first, key_).get();
  first.finish(key_, answer("A"));
  settle(first);
  Recorder second(file());
  EXPECT_EQ(ask(second, key_).get(), nullptr);  // it must ask: it sees nothing of the first's
}

TEST(Deterministic, GoesByTemperatureAndSeed) {
  EXPECT_TRUE(is_deterministic(R"({"model":"m","temperature":0,"prompt":"x"})"));
  EXPECT_TRUE(is_deterministic(R"({"temperature":0.0,"stream":false})"));
  EXPECT_TRUE(is_deterministic(R"({"temperature":0.7,"seed":1})"));
  EXPECT_FALSE(is_deterministic(R"({"temperature":0.7})"));
  EXPECT_FALSE(is_deterministic(R"({"temperature":null,"seed":null})"));
  EXPECT_FALSE(is_deterministic(R"({"prompt":"x"})"));
  EXPECT_FALSE(is_deterministic(R"({"temperature":0,"stream":true})"));
  EXPECT_FALSE(is_deterministic("[0]"));
  EXPECT_FALSE(is_deterministic("{"));
}

}  // namespace
}  // namespace batchproxy
