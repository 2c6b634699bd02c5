// tests/backends/list_codec_test.cc - requests merged into one call, lists spread over several, and
// their answers.
#include "backends/call/list_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::HasSubstr;
using testing::Not;

BodyParts parts(std::string_view body, std::string_view prompt) {
  return BodyParts::cut(body, body.substr(body.find(prompt), prompt.size()));
}

// An answer as the reader wants it: followed by readable bytes.
class Padded {
 public:
  explicit Padded(const std::string& text) : size_(text.size()), bytes_(text) {
    bytes_.resize(size_ + simdjson::SIMDJSON_PADDING);
  }
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::size_t size_;
  std::string bytes_;
};

const char* const kTwoAnswers =
    R"({"id":"cmpl-7","object":"text_completion","choices":[)"
    R"({"index":1,"text":" B\ud835","token_ids":[4,5,6],"prompt_token_ids":[1, 2]},)"
    R"({"index":0,"text":" A","token_ids":[],"prompt_token_ids":[9]}],)"
    R"("usage":{"prompt_tokens":3,"total_tokens":6,"completion_tokens":3,)"
    R"("prompt_tokens_details":null}})";

TEST(Merge, SplicesThePromptsIntoOneListAndAsksForTokens) {
  const std::string a = R"({"model":"m", "prompt": "caf\ud835", "max_tokens":1})";
  const std::string b = R"({"model":"m", "prompt": "tea", "max_tokens":1})";
  const std::vector members{parts(a, R"("caf\ud835")"), parts(b, R"("tea")")};
  EXPECT_EQ(
      merge(members, true),
      R"({"return_token_ids":true,"model":"m", "prompt": ["caf\ud835","tea"], "max_tokens":1})");
  EXPECT_EQ(merge(members, false),
            R"({"model":"m", "prompt": ["caf\ud835","tea"], "max_tokens":1})");
}

TEST(Unmerge, GivesEachMemberTheAnswerThatItWouldHaveGotAlone) {
  ListReader reader;
  const std::vector<std::size_t> sizes{3, 3};
  const Padded answer(kTwoAnswers);
  const auto answers = reader.unmerge(answer.view(), sizes);
  ASSERT_TRUE(answers);
  ASSERT_EQ(answers->size(), 2u);
  EXPECT_TRUE((*answers)[0].exact_usage);
  EXPECT_EQ((*answers)[0].body,
            R"({"id":"cmpl-7-0","object":"text_completion","choices":[)"
            R"({"index":0,"text":" A","token_ids":null,"prompt_token_ids":null}],)"
            R"("usage":{"prompt_tokens":1,"total_tokens":1,"completion_tokens":0,)"
            R"("prompt_tokens_details":null}})");
  EXPECT_THAT((*answers)[1].body, HasSubstr(R"("text":" B\ud835")"));
  EXPECT_THAT((*answers)[1].body, HasSubstr(R"("prompt_tokens":2,"total_tokens":5)"));
}

TEST(Unmerge, SharesTheSumOutWhenNothingTellsTheMembersApart) {
  ListReader reader;
  const std::vector<std::size_t> sizes{100, 300};
  const Padded answer(R"({"choices":[{"index":0,"text":"A"},{"index":1,"text":"B"}],)"
                      R"("usage":{"prompt_tokens":101,"completion_tokens":3,"total_tokens":104}})");
  const auto answers = reader.unmerge(answer.view(), sizes);
  ASSERT_TRUE(answers);
  EXPECT_FALSE((*answers)[0].exact_usage);
  EXPECT_THAT((*answers)[0].body,
              HasSubstr(R"({"prompt_tokens":25,"completion_tokens":2,"total_tokens":27})"));
  EXPECT_THAT((*answers)[1].body,
              HasSubstr(R"({"prompt_tokens":76,"completion_tokens":1,"total_tokens":77})"));
}

TEST(Unmerge, RefusesWhatIsNotOneChoiceForEach) {
  ListReader reader;
  for (const std::string answer :
       {R"({"choices":[{"index":0,"text":"A"}],"usage":{}})",
        R"({"choices":[{"index":0},{"index":0}]})", R"({"choices":[{"index":0},{"index":2}]})",
        R"({"choices":[{"text":"A"},{"text":"B"}]})", R"({"choices":7})", R"({"error":{}})", "[]",
        "{\"choices\":[{\"index\":0},{\"index\":1}", "",
        // two lists, a value that is no JSON, bytes behind the object
        R"({"choices":[{"index":0}],"choices":[{"index":1}]})",
        R"({"choices":[{"index":0,"text":oops},{"index":1}]})",
        R"({"choices":[{"index":0},{"index":1}]}})"}) {
    const std::vector<std::size_t> sizes{1, 1};
    const Padded padded(answer);
    EXPECT_FALSE(reader.unmerge(padded.view(), sizes)) << answer;
  }
}

TEST(Gather, NumbersTheChoicesByPromptAndAddsUpTheUsage) {
  ListReader reader;
  // n = 2: the first call had two prompts, the second one.
  const Padded first(R"({"id":"x","choices":[{"index":0,"text":"a0"},{"index":1,"text":"a1"},)"
                     R"({"index":2,"text":"b0"},{"index":3,"text":"b1"}],)"
                     R"("usage":{"prompt_tokens":4,"total_tokens":9,"details":null},"model":"m"})");
  const Padded second(
      R"({"id":"y","choices":[{"index":1,"text":"c1"},{"index":0,"text":"c0"}],)"
      R"("usage":{"prompt_tokens":2,"total_tokens":3,"details":null},"model":"m"})");
  const std::vector<ListReader::Piece> pieces{{first.view(), 0, 2}, {second.view(), 2, 1}};
  EXPECT_EQ(reader.gather(pieces, 2),
            R"({"id":"x","choices":[{"index":0,"text":"a0"},{"index":1,"text":"a1"},)"
            R"({"index":2,"text":"b0"},{"index":3,"text":"b1"},)"
            R"({"index":4,"text":"c0"},{"index":5,"text":"c1"}],)"
            R"("usage":{"prompt_tokens":6,"total_tokens":12,"details":null},"model":"m"})");
  EXPECT_FALSE(reader.gather(pieces, 1)) << "one choice per prompt was not what came";
}

}  // namespace
}  // namespace batchproxy
