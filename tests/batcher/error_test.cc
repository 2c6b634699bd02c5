// tests/batcher/error_test.cc - the error codes: distinct, complete, and documented as they are.
#include "batcher/base/error.h"

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(ErrorCodes, AreDistinctWordsWithAStatusOfTheirClass) {
  std::set<std::string_view> words;
  for (const Errc code : kAllErrors) {
    const ErrorTraits& traits = describe(code);
    EXPECT_TRUE(words.insert(traits.code).second) << traits.code;
    EXPECT_GE(traits.status, 400u) << traits.code;
    EXPECT_LE(traits.status, 599u) << traits.code;
  }
}

TEST(ErrorCodes, HaveASentenceForTheirClient) {
  for (const Errc code : kAllErrors) {
    const Error error = error_of(code);
    EXPECT_EQ(error.code, code);
    EXPECT_THAT(error.message, testing::EndsWith(".")) << describe(code).code;
  }
  EXPECT_EQ(error_of(Errc::kUnknownModel).param, "model");
}

TEST(ErrorCodes, SayWhenToComeBackOnlyWhereThatCanHelp) {
  for (const Errc code : kAllErrors) {
    const ErrorTraits& traits = describe(code);
    EXPECT_TRUE(traits.retryable || traits.retry_after.empty()) << traits.code;
  }
}

TEST(ErrorCodes, CountAsTheClientsOwnExactlyWhenTheirStatusSaysSo) {
  for (const Errc code : kAllErrors) {
    const ErrorTraits& traits = describe(code);
    const bool says_so = traits.status < 500 || code == Errc::kUnsupportedVersion;
    EXPECT_EQ(traits.finish == Finish::kClientError, says_so) << traits.code;
  }
}

// The first four cells of a code's row in docs/ERRORS.md.
std::string documented(const ErrorTraits& traits) {
  std::string retry = traits.retryable ? "yes" : "no";
  if (!traits.retry_after.empty()) retry.append(", ").append(traits.retry_after).append(" s");
  return "| `" + std::string(traits.code) + "` | " + std::to_string(traits.status) + " | `" +
         std::string(traits.type) + "` | " + retry + " |";
}

TEST(ErrorCodes, AreTheRowsOfDocsErrorsMdInTheirOrder) {
  std::vector<std::string> expected, found;
  for (const Errc code : kAllErrors) expected.push_back(documented(describe(code)));
  std::ifstream file(BATCHPROXY_SOURCE_DIR "/docs/ERRORS.md");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| `")) continue;
    std::size_t end = 0;
    for (int cell = 0; cell < 4; ++cell) end = line.find(" |", end + 1);
    found.push_back(line.substr(0, end + 2));
  }
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace batchproxy
