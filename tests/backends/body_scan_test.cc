// tests/backends/body_scan_test.cc - what the one look at a body finds and refuses.
#include "backends/json/body_scan.h"

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
  EXPECT_FALSE(scan(R"({"stream":false})")->streaming);
  EXPECT_TRUE(scan(R"({"stream":"true"})")->streaming) << "vLLM takes that for true";
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

TEST(BodyScan, SaysWhereABodyIsNotJson) {
  EXPECT_EQ(scan("\xef\xbb\xbf{\n  \"model\": \"m\",\n  \"prompt\": x\n}").error().message,
            "The request body is not valid JSON at line 3, column 13 (byte 30): found `x`.");
  EXPECT_EQ(scan(R"({"prompt":["a","b)").error().message,
            "The request body is not valid JSON at line 1, column 18 (byte 17): found the end.");
  EXPECT_EQ(scan("<html>").error().message,
            "The request body is not valid JSON at line 1, column 1 (byte 0): found `<html>`.");
  EXPECT_EQ(scan(" \n").error().message, "The request has no body.");
}

TEST(BodyScan, NamesTheFieldWithTheWrongType) {
  EXPECT_EQ(scan(R"({"model":7})").error().param, "model");
  EXPECT_EQ(scan(R"({"prompt":"p","prompt":"q"})").error().param, "prompt");
  EXPECT_EQ(scan("[1]").error().code, Errc::kInvalidRequest);
}

TEST(BodyScan, RefusesAFieldGivenTwice) {
  EXPECT_EQ(scan(R"({"model":"a","model":"b"})").error().param, "model");
}

TEST(BodyScan, PointsToThePromptAsItStands) {
  EXPECT_EQ(scan(R"({"prompt": "a\"\ud835" , "x":1})")->prompt, R"("a\"\ud835")");
  EXPECT_EQ(scan(R"({"prompt":[1, 2]})")->prompt, "[1, 2]");
  EXPECT_EQ(scan(R"({"prompt":[1, 2]})")->form, PromptForm::kTokens);
  EXPECT_EQ(scan(R"({"prompt":["a"]})")->form, PromptForm::kList);
  EXPECT_EQ(scan(R"({"messages":[{"role":"user"}],"n":3})", BodyKind::kChat)->prompt,
            R"([{"role":"user"}])");
  EXPECT_EQ(scan(R"({"messages":[[{}],[{}]]})", BodyKind::kChatBatch)->prompts, 2u);
  EXPECT_TRUE(scan(R"({"input":"a"})", BodyKind::kOther)->prompt.empty());
}

TEST(BodyScan, APromptOfAnyFormIsOneAndSharesNoCall) {
  for (const char* key : {"messages", "input", "state", "prompt"}) {
    const auto found =
        scan("{\"" + std::string(key) + R"(":["a","b"],"n":2})", BodyKind::kPrompted);
    EXPECT_EQ(found->prompt, R"(["a","b"])") << key;
    EXPECT_EQ(found->prompts, 1u) << key;
    EXPECT_EQ(found->mergeable, Mergeable::kNever) << key;
  }
}

TEST(BodyScan, LetsARequestShareACallUnlessItsAnswerWouldDiffer) {
  for (const char* text :
       {R"({"prompt":"p"})", R"({"prompt":[1]})", R"({"prompt":"p","n":1,"echo":false})",
        R"({"prompt":"p","seed":7,"logprobs":1,"suffix":null,"stream":false})"}) {
    EXPECT_EQ(scan(text)->mergeable, Mergeable::kCompletion) << text;
  }
  for (const char* text :
       {R"({"prompt":"p","n":2})", R"({"prompt":"p","stream":true})", R"({"prompt":["p"]})",
        R"({"prompt":"p","echo":true})", R"({"prompt":"p","return_token_ids":true})",
        R"({"prompt":"p","best_of":2})", R"({"model":"m"})", R"({"prompt":null})",
        R"({"prompt":7})", R"({"prompt":"p","return_token_ids":false})",
        R"({"prompt":"p","echo":1})"}) {
    EXPECT_EQ(scan(text)->mergeable, Mergeable::kNever) << text;
  }
  EXPECT_EQ(scan(R"({"messages":[{}]})", BodyKind::kChat)->mergeable, Mergeable::kChat);
  EXPECT_EQ(scan(R"({"messages":[{}],"tools":[{}]})", BodyKind::kChat)->mergeable,
            Mergeable::kNever);
  EXPECT_EQ(scan(R"({"prompt":"p"})", BodyKind::kOther)->mergeable, Mergeable::kNever);
  EXPECT_EQ(scan(R"({"messages":"hello"})", BodyKind::kChat)->mergeable, Mergeable::kNever);
}

TEST(BodyScan, KnowsHowManyAnswersAPromptGetsOrThatItIsNotPlainToSee) {
  EXPECT_EQ(scan(R"({"prompt":["p"]})")->choices, 1u);
  EXPECT_EQ(scan(R"({"prompt":["p"],"n":null})")->choices, 1u);
  EXPECT_EQ(scan(R"({"prompt":["p"],"n":3})")->choices, 3u);
  EXPECT_EQ(scan(R"({"prompt":["p"],"n":2.0})")->choices, 0u);
  EXPECT_EQ(scan(R"({"prompt":["p"],"n":"2"})")->choices, 0u);
}

TEST(BodyScan, SkipsAByteOrderMarkAsEnginesDo) {
  EXPECT_EQ(scan("\xef\xbb\xbf{\"model\":\"m\"}")->model, "m");
}

TEST(BodyScan, TellsShortAnswersFromLongOnes) {
  EXPECT_TRUE(scan(R"({"prompt":"p"})")->short_answer) << "16 tokens is the default";
  EXPECT_TRUE(scan(R"({"prompt":"p","max_tokens":null})")->short_answer);
  EXPECT_TRUE(scan(R"({"prompt":"p","max_tokens":16})")->short_answer);
  EXPECT_FALSE(scan(R"({"prompt":"p","max_tokens":17})")->short_answer);
  EXPECT_FALSE(scan(R"({"messages":[{}]})", BodyKind::kChat)->short_answer)
      << "to the context's end";
  EXPECT_TRUE(
      scan(R"({"messages":[{}],"max_completion_tokens":1})", BodyKind::kChat)->short_answer);
}

std::string nested(std::size_t levels, const std::string& core = "") {
  return std::string(levels, '[') + core + std::string(levels, ']');
}

TEST(BodyScan, RefusesNestingBeyondTheLimitWhereverItStands) {
  for (const char* key : {"x", "prompt", "messages", "stream", "stop", "echo"}) {
    for (const BodyKind kind : {BodyKind::kCompletion, BodyKind::kChat, BodyKind::kOther}) {
      const std::string name = '"' + std::string(key) + "\":";
      for (const std::string& rest : {std::string(), std::string(R"(,"y":[{}],"z":1)")}) {
        EXPECT_TRUE(scan("{" + name + nested(63, "1") + rest + "}", kind)) << key << rest;
        const auto refused = scan("{" + name + nested(64) + rest + "}", kind);
        ASSERT_FALSE(refused) << key << rest;
        EXPECT_EQ(refused.error().code, Errc::kInvalidJson);
        EXPECT_NE(refused.error().message.find("64"), std::string::npos);
      }
    }
  }
  EXPECT_FALSE(scan(R"({"a":[)" + nested(2) + "," + nested(63) + "]}"));
  EXPECT_FALSE(scan(R"({"a":{"b":"\\")" + std::string(R"(,"c":)") + nested(63) + "}}"));
  EXPECT_FALSE(scan("{\"x\":" + nested(100000) + "}"));
}

TEST(BodyScan, CountsNoBracketsInStringsNorNeighbours) {
  EXPECT_TRUE(
      scan(R"({"messages":[{"content":")" + std::string(500, '[') + R"("}]})", BodyKind::kChat));
  EXPECT_TRUE(
      scan(R"({"messages":["\"[\\\"[)" + std::string(500, '{') + R"(\\"]})", BodyKind::kChat));
  std::string wide = "[[1]";
  for (int i = 0; i < 500; ++i) wide += ",[{}]";
  EXPECT_TRUE(scan("{\"x\":" + wide + "]}"));
  EXPECT_TRUE(scan(R"({"prompt":")" + std::string(500, '[') + "\"}"));
}

TEST(BodyScan, RefusesMorePromptsThanTheLimit) {
  const auto list = [](std::size_t prompts, const std::string& one) {
    std::string text = "[" + one;
    for (std::size_t i = 1; i < prompts; ++i) text += "," + one;
    return text + "]";
  };
  EXPECT_EQ(scan("{\"prompt\":" + list(4096, "\"a\"") + "}")->prompts, 4096u);
  EXPECT_EQ(scan("{\"prompt\":" + list(5000, "1") + "}")->prompts, 1u) << "tokens of one prompt";
  for (const char* one : {"\"a\"", "[1]"}) {
    const auto refused = scan("{\"prompt\":" + list(4097, one) + "}");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::kTooManyPrompts);
    EXPECT_EQ(refused.error().param, "prompt");
    EXPECT_NE(refused.error().message.find("4096"), std::string::npos);
  }
  EXPECT_EQ(scan("{\"messages\":" + list(4097, "[]") + "}", BodyKind::kChatBatch).error().code,
            Errc::kTooManyPrompts);
  EXPECT_TRUE(scan("{\"messages\":" + list(4097, "{}") + "}", BodyKind::kChat)) << "one chat";
}

TEST(BodyScan, TakesAListApart) {
  BodyScanner scanner;
  const std::string body = R"({"prompt":["a\ud835" , [1, 2],{"x":[3]}, 4 ],"n":1})";
  std::string padded = body + std::string(BodyScanner::kPadding, '\0');
  const std::string_view view = std::string_view(padded).substr(0, body.size());
  const auto list = scanner.elements(view, scanner.scan(view, BodyKind::kCompletion)->prompt);
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 4u);
  EXPECT_EQ((*list)[0], R"("a\ud835")");
  EXPECT_EQ((*list)[1], "[1, 2]");
  EXPECT_EQ((*list)[2], R"({"x":[3]})");
  EXPECT_EQ((*list)[3], "4");
}

}  // namespace
}  // namespace batchproxy
