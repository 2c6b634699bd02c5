// tests/backends/body_scan_test.cc - what the one look at a body finds and refuses.
#include "backends/body_scan.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

Result<BodyScan> scan(std::string text, BodyKind kind = BodyKind::kCompletion) {
  static BodyScanner scanner;
  static std::string padded;
  padded = text + std::string(BodyScanner::kPadding, '\0');
  return scanner.scan(std::string_view(padded).substr(0, text.size()), kind);
}

TEST(BodyScan, FindsModelStreamAndPrompts) {
  const auto found = scan(R"({"model":"m","prompt":"p","stream":true,"x":{"model":"no"}})");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->model, "m");
  EXPECT_TRUE(found->streaming);
  EXPECT_EQ(found->prompts, 1u);
}

TEST(BodyScan, CountsPromptsTheWayTheEndpointDoes) {
  EXPECT_EQ(scan(R"({"prompt":["a","b","c"]})")->prompts, 3u);
  EXPECT_EQ(scan(R"({"prompt":[1,2,3]})")->prompts, 1u);
  EXPECT_EQ(scan(R"({"prompt":[[1,2],[3]]})")->prompts, 2u);
  EXPECT_EQ(scan(R"({"prompt":[]})")->prompts, 1u);
  EXPECT_EQ(scan(R"({"prompt":["a","b"]})", BodyKind::kOther)->prompts, 1u);
}

TEST(BodyScan, TakesNullAndAbsenceForTheDefault) {
  EXPECT_EQ(scan(R"({"model":null,"stream":null})")->model, "");
  EXPECT_FALSE(scan(R"({})")->streaming);
}

TEST(BodyScan, LeavesLoneSurrogatesAndUnknownFieldsAlone) {
  EXPECT_TRUE(scan(R"({"prompt":"\ud835 broken","guided_choice":["A"],"n":1e400})"));
  EXPECT_TRUE(scan(R"({"prompt":["\ud835"]})"));
}

TEST(BodyScan, ReadsEscapesInAModelName) {
  EXPECT_EQ(scan(R"({"model":"org\/name\u0041"})")->model, "org/nameA");
}

TEST(BodyScan, RefusesWhatIsNotJson) {
  for (const char* text : {"", "{", R"({"model":"m")", R"({"model" "m"})", "{}}", "{} {}",
                           R"({"prompt":"\q)", "\xff{}"}) {
    const auto found = scan(text);
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code, Errc::kInvalidJson) << text << ": " << found.error().message;
  }
}

TEST(BodyScan, NamesTheFieldWithTheWrongType) {
  EXPECT_EQ(scan(R"({"model":7})").error().param, "model");
  EXPECT_EQ(scan(R"({"stream":"yes"})").error().param, "stream");
  EXPECT_EQ(scan("[1]").error().code, Errc::kInvalidRequest);
}

TEST(BodyScan, RefusesAFieldGivenTwice) {
  EXPECT_EQ(scan(R"({"model":"a","model":"b"})").error().param, "model");
}

}  // namespace
}  // namespace batchproxy
