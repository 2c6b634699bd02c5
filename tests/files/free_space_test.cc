// tests/files/free_space_test.cc - how much room there is where there is nothing yet.
#include "proxy/files/free_space.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace batchproxy {
namespace {

TEST(FreeSpace, IsThatOfTheNearestFolderThatThereIs) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("free-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string file = folder / "file";
  std::ofstream(file) << "x";
  const auto total = std::filesystem::space(folder).capacity;
  for (const std::string& place :
       {folder.string(), (folder / "none" / "none/").string(), file + "/below", file}) {
    const std::uint64_t free = free_bytes_at(place);
    EXPECT_GT(free, 0u) << place;
    EXPECT_LE(free, total) << place;
  }
  std::filesystem::remove_all(folder);
  EXPECT_GT(free_bytes_at("none/where/we/are"), 0u);
  EXPECT_EQ(free_bytes_at(""), 0u);
}

}  // namespace
}  // namespace batchproxy
