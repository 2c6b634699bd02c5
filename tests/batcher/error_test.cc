// tests/batcher/error_test.cc - the error codes: complete, distinct, and documented.
#include "batcher/error.h"

#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(ErrorCodes, AreDistinctWordsWithAStatusOfTheirClass) {
  std::set<std::string_view> words;
  for (const Errc code : kAllErrors) {
    const ErrorTraits traits = describe(code);
    EXPECT_TRUE(words.insert(traits.code).second) << traits.code;
    EXPECT_GE(traits.status, 400u);
    EXPECT_LE(traits.status, 599u);
  }
}

TEST(ErrorCodes, AreDocumentedWithTheirStatusInDocsErrorsMd) {
  std::ifstream file(BATCHPROXY_SOURCE_DIR "/docs/ERRORS.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const Errc code : kAllErrors) {
    const ErrorTraits traits = describe(code);
    const std::string row = "| `" + std::string(traits.code) + "` | " +
                            std::to_string(traits.status) + " | `" + std::string(traits.type) +
                            "` | " + (traits.retryable ? "yes" : "no") + " |";
    EXPECT_NE(text.str().find(row), std::string::npos) << "missing: " << row;
  }
}

}  // namespace
}  // namespace batchproxy
