// tests/configs/golden_test.cc - each broken/NAME.yaml prints exactly broken/NAME.expected.
//
// UPDATE_GOLDEN=1 writes the expected files instead; read the difference before you commit it.
#include <cstdlib>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "tests/configs/load_text.h"

namespace batchproxy {
namespace {

std::vector<std::string> broken_files() {
  std::set<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(source_path("tests/configs/broken"))) {
    if (entry.path().extension() == ".yaml") names.insert(entry.path().stem());
  }
  return {names.begin(), names.end()};
}

class BrokenFile : public testing::TestWithParam<std::string> {};

TEST_P(BrokenFile, PrintsWhatIsExpected) {
  const std::string base = source_path("tests/configs/broken/" + GetParam());
  const LoadResult result = load({GetParam() + ".yaml", read_whole_file(base + ".yaml"), {}, {}});
  const std::string output = printed(result.diagnostics);
  EXPECT_NE(output, "");
  if (std::getenv("UPDATE_GOLDEN")) std::ofstream(base + ".expected") << output;
  EXPECT_EQ(output, read_whole_file(base + ".expected"));
}

INSTANTIATE_TEST_SUITE_P(All, BrokenFile, testing::ValuesIn(broken_files()),
                         [](const auto& each) { return each.param; });

}  // namespace
}  // namespace batchproxy
