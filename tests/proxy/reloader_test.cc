// tests/proxy/reloader_test.cc - a reload changes all that it may, or nothing.
#include "proxy/control/reloader.h"

#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class ReloaderTest : public testing::Test {
 protected:
  ReloaderTest() { options_ = load_text().options; }

  LoadResult load_text(const std::vector<Flag>& trial = {}) const {
    return load({"my.yaml", text_, {}, {}, {}, trial});
  }

  Reloader::Hooks hooks() {
    Reloader::Hooks hooks;
    hooks.load = [this](const std::vector<Flag>& trial) { return load_text(trial); };
    hooks.replace_backends = [this](const Options&) {
      if (!refusal_.empty()) throw std::runtime_error(refusal_);
      return backend_lines_;
    };
    hooks.read_files = [this](const Options& wanted) {
      files_of_ = *wanted.proxy.max_queue;
      return unreadable_;
    };
    hooks.apply = [this](const ApiKeysPtr&) { ++applied_; };
    return hooks;
  }

  std::string text_ = "batchproxy: {backends: [http://10.0.0.1:8000], max_queue: 8}\n";
  std::string refusal_;
  std::string unreadable_;
  std::int64_t files_of_ = 0;  // the max_queue of the options whose files were read
  std::vector<std::string> backend_lines_;
  int applied_ = 0;
  Options options_;
  Reloader reloader_{options_, nullptr, hooks()};
};

TEST_F(ReloaderTest, SaysThatNothingHasChanged) {
  const ReloadReport report = reloader_.reload();
  EXPECT_TRUE(report.ok);
  EXPECT_THAT(report.lines, Contains("nothing has changed"));
  EXPECT_EQ(reloader_.generation(), 2u);
  EXPECT_EQ(applied_, 1);
}

TEST_F(ReloaderTest, TakesOverOptionsAndBackends) {
  text_ = "batchproxy: {backends: [http://10.0.0.1:8000], max_queue: 9}\n";
  backend_lines_ = {"b is new"};
  const ReloadReport report = reloader_.reload();
  EXPECT_TRUE(report.ok);
  EXPECT_EQ(*options_.proxy.max_queue, 9);
  EXPECT_THAT(report.lines, Contains(HasSubstr("max_queue: 8 -> 9")));
  EXPECT_THAT(report.lines, Contains("b is new"));
  EXPECT_FALSE(reloader_.last_failed());
}

TEST_F(ReloaderTest, TriesKeysUntilTheNextReload) {
  const ReloadReport report = reloader_.reload({{"flush", "fixed"}, {"batch_size", "3"}});
  EXPECT_TRUE(report.ok);
  EXPECT_THAT(report.lines, Contains(HasSubstr("flush: eager -> fixed")));
  EXPECT_EQ(*options_.proxy.flush, "fixed");
  EXPECT_EQ(*options_.worker.batch_size, 3);
  EXPECT_TRUE(reloader_.reload().ok);
  EXPECT_EQ(*options_.proxy.flush, "eager");
  EXPECT_EQ(*options_.worker.batch_size, 16);
}

TEST_F(ReloaderTest, TriesOnlyWhatDecidesWhenRequestsLeave) {
  for (const Flag& wrong : {Flag{"allow_unauthenticated", "true"}, Flag{"max_queue", "3"},
                            Flag{"flush", "sometimes"}, Flag{"batch_size", "0"}}) {
    EXPECT_FALSE(reloader_.reload({wrong}).ok) << wrong.first;
  }
  const ReloadReport report = reloader_.reload({{"batchsize", "3"}});
  EXPECT_THAT(report.lines, Contains(HasSubstr("did you mean 'batch_size'?")));
  EXPECT_EQ(applied_, 0);
}

TEST_F(ReloaderTest, ChangesNothingWhenTheFileIsOfNoUse) {
  text_ = "batchproxy: {backends: [http://10.0.0.1:8000], max_queue: none}\n";
  EXPECT_FALSE(reloader_.reload().ok);
  EXPECT_EQ(*options_.proxy.max_queue, 8);
  EXPECT_EQ(applied_, 0);
  EXPECT_EQ(reloader_.generation(), 1u);
  EXPECT_TRUE(reloader_.last_failed());
}

TEST_F(ReloaderTest, ChangesNothingWhenTheBackendsCannotBeHad) {
  text_ = "batchproxy: {backends: [http://10.0.0.1:8000], max_queue: 9}\n";
  refusal_ = "too many";
  const ReloadReport report = reloader_.reload();
  EXPECT_FALSE(report.ok);
  EXPECT_THAT(report.lines, Contains("error: too many"));
  EXPECT_EQ(*options_.proxy.max_queue, 8);
  EXPECT_EQ(applied_, 0);
}

TEST_F(ReloaderTest, ChangesNothingWhenAFileOfTheNewOptionsCannotBeRead) {
  text_ = "batchproxy: {backends: [http://10.0.0.1:8000], max_queue: 9}\n";
  unreadable_ = "cannot read x.pem";
  const ReloadReport report = reloader_.reload();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(files_of_, 9);
  EXPECT_THAT(report.lines, Contains("error: cannot read x.pem"));
  EXPECT_EQ(*options_.proxy.max_queue, 8);
  EXPECT_EQ(applied_, 0);
}

TEST_F(ReloaderTest, IsFineAgainAfterOneThatWasNot) {
  refusal_ = "too many";
  reloader_.reload();
  refusal_.clear();
  EXPECT_TRUE(reloader_.reload().ok);
  EXPECT_FALSE(reloader_.last_failed());
}

}  // namespace
}  // namespace batchproxy
