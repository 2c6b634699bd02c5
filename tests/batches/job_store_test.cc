// tests/batches/job_store_test.cc - what the store keeps, whose it is, and what a crash leaves.
#include "proxy/batches/job_store.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace batchproxy {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class JobStoreTest : public ::testing::Test {
 protected:
  JobStoreTest() {
    std::string name = (fs::temp_directory_path() / "job_store_test.XXXXXX").string();
    folder_ = std::string(::mkdtemp(name.data())) + "/deep/jobs";
  }
  ~JobStoreTest() override { fs::remove_all(fs::path(folder_).parent_path().parent_path()); }

  static StoredFile add(JobStore& store, const std::string& id, const std::string& owner = "") {
    std::ofstream(store.upload_path(id)) << "bytes";
    const StoredFile file{id, owner, "a.jsonl", "batch", 5, 1'700'000'000};
    store.add_file(file);
    return file;
  }
  static std::vector<std::string> ids(const Page<StoredFile>& page) {
    std::vector<std::string> ids;
    for (const StoredFile& file : page.items) ids.push_back(file.id);
    return ids;
  }

  std::string folder_;
};

TEST_F(JobStoreTest, KeepsAFileOverARestart) {
  EXPECT_FALSE(JobStore::exists(folder_));
  {
    JobStore store(folder_);
    add(store, "file-1");
  }
  EXPECT_TRUE(JobStore::exists(folder_));
  JobStore store(folder_);
  const auto file = store.file("file-1", "");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->filename, "a.jsonl");
  EXPECT_EQ(file->bytes, 5);
  EXPECT_EQ(fs::file_size(store.file_path("file-1")), 5u);
  EXPECT_EQ(store.bytes_of_files(), 5);
}

TEST_F(JobStoreTest, ShowsNobodyTheFilesOfAnother) {
  JobStore store(folder_);
  add(store, "file-1", "alice");
  EXPECT_FALSE(store.file("file-1", "bob"));
  EXPECT_FALSE(store.file("file-1", ""));
  EXPECT_TRUE(store.files("bob", "", {.limit = 10})->items.empty());
  EXPECT_FALSE(store.files("bob", "", {.limit = 10, .after = "file-1"}));
}

TEST_F(JobStoreTest, ListsInPages) {
  JobStore store(folder_);
  for (const char* id : {"a", "b", "c"}) add(store, id);
  const auto first = store.files("", "batch", {.limit = 2});
  EXPECT_THAT(ids(*first), testing::ElementsAre("c", "b"));
  EXPECT_TRUE(first->has_more);
  const auto second = store.files("", "", {.limit = 2, .after = "b"});
  EXPECT_THAT(ids(*second), testing::ElementsAre("a"));
  EXPECT_FALSE(second->has_more);
  const auto upwards = store.files("", "", {.limit = 2, .after = "a", .ascending = true});
  EXPECT_THAT(ids(*upwards), testing::ElementsAre("b", "c"));
  EXPECT_TRUE(store.files("", "other", {.limit = 2})->items.empty());
}

TEST_F(JobStoreTest, RemovesAFileWithItsBytes) {
  JobStore store(folder_);
  add(store, "file-1");
  store.remove_file("file-1");
  EXPECT_FALSE(store.file("file-1", ""));
  EXPECT_FALSE(fs::exists(store.file_path("file-1")));
}

TEST_F(JobStoreTest, RemovesWhatACrashLeft) {
  std::string upload, orphan;
  {
    JobStore store(folder_);
    add(store, "file-1");
    upload = store.upload_path("file-2");
    orphan = store.file_path("file-3");
    std::ofstream(upload) << "half";
    std::ofstream(orphan) << "without a row";
  }
  JobStore store(folder_);
  EXPECT_FALSE(fs::exists(upload));
  EXPECT_FALSE(fs::exists(orphan));
  EXPECT_TRUE(fs::exists(store.file_path("file-1")));
}

TEST_F(JobStoreTest, IsUsedByOneProcessOnly) {
  JobStore store(folder_);
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      JobStore second(folder_);
    } catch (const LedgerError& error) {
      ::_exit(std::string_view(error.what()).find("in use") != std::string_view::npos ? 7 : 1);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(JobId, IsNeverTheSame) {
  EXPECT_THAT(new_id("file-"), testing::MatchesRegex("file-[0-9a-f]+"));
  EXPECT_EQ(new_id("file-").size(), 29u);
  EXPECT_NE(new_id(""), new_id(""));
}

}  // namespace
}  // namespace batchproxy
