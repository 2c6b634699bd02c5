// tests/sim/generation_test.cc - the shapes of generated answers, whole and streamed.
#include <gtest/gtest.h>

#include "tests/sim/api_fixture.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

TEST_F(ApiTest, ACompletionHasVllmsShape) {
  const json::value body = complete(R"({"model":"alias","prompt":"Tell me","max_tokens":5})");
  EXPECT_EQ(body.at("object"), "text_completion");
  EXPECT_EQ(body.at("model"), "alias");
  EXPECT_EQ(body.at("created"), 1700000000);
  EXPECT_TRUE(std::string(body.at("id").as_string()).starts_with("cmpl-"));
  const json::value& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("index"), 0);
  EXPECT_EQ(choice.at("finish_reason"), "length");
  EXPECT_TRUE(choice.at("logprobs").is_null());
  EXPECT_EQ(body.at("usage").at("prompt_tokens"), 2);
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 5);
  EXPECT_EQ(body.at("usage").at("total_tokens"), 7);
}

TEST_F(ApiTest, ChoicesOfAListAreNumberedByPromptThenByN) {
  const json::value list = complete(R"({"prompt":["one","two"],"n":2,"max_tokens":4})");
  const json::value two = complete(R"({"prompt":"two","n":2,"max_tokens":4})");
  ASSERT_EQ(list.at("choices").as_array().size(), 4u);
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(list.at("choices").at(static_cast<std::size_t>(i)).at("index"), i);
  }
  EXPECT_EQ(list.at("choices").at(2).at("text"), two.at("choices").at(0).at("text"));
  EXPECT_EQ(list.at("choices").at(3).at("text"), two.at("choices").at(1).at("text"));
  EXPECT_EQ(list.at("usage").at("prompt_tokens"), 2);
  EXPECT_EQ(list.at("usage").at("completion_tokens"), 16);
}

TEST_F(ApiTest, AListOfIdsIsOnePromptAndAListOfListsIsSeveral) {
  EXPECT_EQ(complete(R"({"prompt":[72,105]})").at("choices").as_array().size(), 1u);
  EXPECT_EQ(complete(R"({"prompt":[[72,105],[72]]})").at("choices").as_array().size(), 2u);
  EXPECT_EQ(
      complete(R"({"prompt":[72,105],"echo":true,"max_tokens":0})").at("choices").at(0).at("text"),
      "Hi");
}

TEST_F(ApiTest, EchoWithLogprobsScoresThePromptAsEvaluationHarnessesNeedIt) {
  const json::value body = complete(
      R"({"prompt":[[72,105,33]],"temperature":0,"max_tokens":1,
      "logprobs":1,"seed":1234,"echo":true})");
  const json::value& logprobs = body.at("choices").at(0).at("logprobs");
  for (const char* list : {"tokens", "token_logprobs", "top_logprobs", "text_offset"}) {
    EXPECT_EQ(logprobs.at(list).as_array().size(), 4u) << list;
  }
  EXPECT_TRUE(logprobs.at("token_logprobs").at(0).is_null());
  EXPECT_LE(logprobs.at("token_logprobs").at(1).as_double(), 0);
  EXPECT_EQ(logprobs.at("text_offset").at(2), 2);
  EXPECT_EQ(logprobs.at("tokens").at(2), "!");
}

TEST_F(ApiTest, AStreamSaysTheSameAsTheWholeAnswer) {
  const std::string fields = R"("prompt":["Tell me","a tale"],"max_tokens":6)";
  const json::value whole = complete("{" + fields + "}");
  const auto streamed = call("/v1/completions", "{" + fields + R"(,"stream":true,
      "stream_options":{"include_usage":true}})");
  std::string texts[2];
  const std::vector<json::value> chunks = stream(*streamed);
  for (const json::value& chunk : chunks) {
    for (const json::value& choice : chunk.at("choices").as_array()) {
      texts[choice.at("index").to_number<std::size_t>()] += choice.at("text").as_string();
    }
  }
  EXPECT_EQ(texts[0], std::string(whole.at("choices").at(0).at("text").as_string()));
  EXPECT_EQ(texts[1], std::string(whole.at("choices").at(1).at("text").as_string()));
  EXPECT_EQ(chunks.back().at("usage").at("total_tokens"), whole.at("usage").at("total_tokens"));
  EXPECT_TRUE(chunks.back().at("choices").as_array().empty());
}

TEST_F(ApiTest, AStreamedEchoScoresThePromptAndGoesOnWhereItsTextEnds) {
  const auto streamed = call("/v1/completions",
                             R"({"prompt":["Tell","me a"],"max_tokens":3,"ignore_eos":true,
                                 "echo":true,"logprobs":1,"stream":true})");
  const std::vector<json::value> chunks = stream(*streamed);
  ASSERT_EQ(chunks.size(), 6u);
  const json::value& first = chunks[3].at("choices").at(0);
  EXPECT_EQ(first.at("index"), 1);
  EXPECT_TRUE(std::string(first.at("text").as_string()).starts_with("me a "));
  EXPECT_EQ(first.at("logprobs").at("tokens").as_array().size(), 3u);
  EXPECT_TRUE(first.at("logprobs").at("token_logprobs").at(0).is_null());
  const json::value& second = chunks[4].at("choices").at(0);
  EXPECT_EQ(second.at("logprobs").at("tokens").as_array().size(), 1u);
  EXPECT_GT(second.at("logprobs").at("text_offset").at(0).as_int64(), 0);
}

TEST_F(ApiTest, StopEchoAndLogprobsHoldForEveryMemberOfAList) {
  const json::value body = complete(
      R"({"prompt":["one","two"],"n":2,"max_tokens":1,"echo":true,"logprobs":0,"stop":"@"})");
  ASSERT_EQ(body.at("choices").as_array().size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const json::value& choice = body.at("choices").at(i);
    EXPECT_TRUE(std::string(choice.at("text").as_string()).starts_with(i < 2 ? "one" : "two"));
    EXPECT_EQ(choice.at("logprobs").at("tokens").as_array().size(), 2u);
    EXPECT_EQ(choice.at("finish_reason"), "length");
  }
  const json::value scored =
      complete(R"({"prompt":["one","two"],"max_tokens":0,"echo":true,"logprobs":0})");
  EXPECT_EQ(scored.at("choices").at(1).at("text"), "two");
  EXPECT_EQ(scored.at("choices").at(1).at("logprobs").at("tokens").as_array().size(), 1u);
}

TEST_F(ApiTest, AChatStreamBeginsWithTheRole) {
  const auto chat =
      call("/v1/chat/completions",
           R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":2,"stream":true})");
  const std::vector<json::value> chunks = stream(*chat);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].at("choices").at(0).at("delta").at("role"), "assistant");
  EXPECT_EQ(chunks[2].at("choices").at(0).at("finish_reason"), "length");
  EXPECT_EQ(chunks[2].at("object"), "chat.completion.chunk");
}

TEST_F(ApiTest, AChatCompletionHasVllmsShape) {
  const auto chat = call("/v1/chat/completions", R"({"messages":[{"role":"system","content":"s"},
      {"role":"user","content":[{"type":"text","text":"Which?\nA. x\nB. y"}]}],"max_tokens":1,
      "logprobs":true,"top_logprobs":2})");
  const json::value body = json::parse(chat->body());
  EXPECT_EQ(body.at("object"), "chat.completion");
  const json::value& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("message").at("role"), "assistant");
  const std::string letter(choice.at("message").at("content").as_string());
  EXPECT_TRUE(letter == "A" || letter == "B") << letter;
  EXPECT_EQ(choice.at("logprobs").at("content").at(0).at("top_logprobs").as_array().size(), 2u);
}

TEST_F(ApiTest, ABatchedChatHasOneChoicePerConversation) {
  const auto chat = call("/v1/chat/completions/batch",
                         R"({"messages":[[{"role":"user","content":"Hi"}],
                             [{"role":"user","content":"Ho"}]],"max_tokens":3})");
  const json::value body = json::parse(chat->body());
  ASSERT_EQ(body.at("choices").as_array().size(), 2u);
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 6);
}

TEST_F(ApiTest, EqualPromptsPutEqualBlocksOnTheEngine) {
  const std::string context(600, 'x');
  const auto one = call("/v1/completions", R"({"prompt":")" + context + R"( one"})");
  const auto two = call("/v1/completions", R"({"prompt":")" + context + R"( two"})");
  const Work a = one->work().front();
  const Work b = two->work().front();
  EXPECT_EQ(a.blocks[4], b.blocks[4]);
  EXPECT_EQ(a.prompt_tokens, b.prompt_tokens);
}

}  // namespace
}  // namespace batchproxy::sim
