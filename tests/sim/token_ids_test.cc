// tests/sim/token_ids_test.cc - `return_token_ids`, by which a merged call's usage is told apart.
#include <gtest/gtest.h>

#include "tests/sim/api_fixture.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

std::size_t count(const json::value& ids) {
  return ids.as_array().size();
}

TEST_F(ApiTest, TokenIdsTellTheUsageOfEachMember) {
  const json::value body = complete(
      R"({"prompt":["a b c","d"],"n":2,"max_tokens":2,"ignore_eos":true,"return_token_ids":true})");
  ASSERT_EQ(count(body.at("choices")), 4u);
  EXPECT_EQ(count(body.at("choices").at(1).at("prompt_token_ids")), 3u);
  EXPECT_EQ(count(body.at("choices").at(2).at("prompt_token_ids")), 1u);
  std::size_t generated = 0;
  for (const json::value& choice : body.at("choices").as_array()) {
    generated += count(choice.at("token_ids"));
  }
  EXPECT_EQ(generated, body.at("usage").at("completion_tokens").to_number<std::size_t>());
}

TEST_F(ApiTest, UnaskedTheFieldsAreNull) {
  const json::value completion = complete(R"({"prompt":"x"})");
  EXPECT_TRUE(completion.at("choices").at(0).at("prompt_token_ids").is_null());
  EXPECT_TRUE(completion.at("choices").at(0).at("token_ids").is_null());
  const json::value chat =
      answer_to("/v1/chat/completions", R"({"messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_TRUE(chat.at("prompt_token_ids").is_null());
  EXPECT_TRUE(chat.at("choices").at(0).at("token_ids").is_null());
}

TEST_F(ApiTest, AChatGivesThePromptsIdsBesideItsChoices) {
  const json::value body = answer_to(
      "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":3,"return_token_ids":true})");
  EXPECT_EQ(count(body.at("prompt_token_ids")),
            body.at("usage").at("prompt_tokens").to_number<std::size_t>());
  EXPECT_EQ(count(body.at("choices").at(0).at("token_ids")), 3u);
  EXPECT_FALSE(body.at("choices").at(0).as_object().contains("prompt_token_ids"));
}

TEST_F(ApiTest, ABatchOfChatsGivesNoIdsOfPrompts) {
  const json::value body =
      answer_to("/v1/chat/completions/batch",
                R"({"messages":[[{"role":"user","content":"Hi"}],[{"role":"user","content":"Ho"}]],
                    "max_tokens":2,"return_token_ids":true})");
  EXPECT_TRUE(body.at("prompt_token_ids").is_null());
  EXPECT_EQ(count(body.at("choices").at(1).at("token_ids")), 2u);
}

TEST_F(ApiTest, AskedForIdsAnEchoLeavesThePromptOutOfTheText) {
  const std::string fields = R"({"prompt":"ab","echo":true,"max_tokens":0)";
  EXPECT_EQ(complete(fields + "}").at("choices").at(0).at("text"), "ab");
  const json::value choice = complete(fields + R"(,"return_token_ids":true})").at("choices").at(0);
  EXPECT_EQ(choice.at("text"), "");
  EXPECT_EQ(count(choice.at("prompt_token_ids")), 1u);
  EXPECT_EQ(count(choice.at("token_ids")), 1u);  // one is generated in any case
}

TEST_F(ApiTest, AStreamGivesThePromptsIdsOnce) {
  const auto streamed = call(
      "/v1/completions",
      R"({"prompt":"a b","max_tokens":3,"ignore_eos":true,"stream":true,"return_token_ids":true})");
  const std::vector<json::value> chunks = stream(*streamed);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(count(chunks[0].at("choices").at(0).at("prompt_token_ids")), 2u);
  EXPECT_TRUE(chunks[1].at("choices").at(0).at("prompt_token_ids").is_null());
  for (const json::value& chunk : chunks) {
    EXPECT_EQ(count(chunk.at("choices").at(0).at("token_ids")), 1u);
  }
}

class OlderApiTest : public ApiTest {
 protected:
  static ApiOptions older() {
    ApiOptions older = options();
    older.token_ids = false;
    return older;
  }

  OlderApiTest() : older_(older(), server_) {}

  Api older_;
};

TEST_F(OlderApiTest, IgnoresTheFieldWhateverItHolds) {
  ApiOutcome outcome = older_.handle(
      post("/v1/completions", R"({"prompt":"x","max_tokens":2,"return_token_ids":"?"})"));
  const json::value body =
      json::parse(std::get<std::unique_ptr<ApiCall>>(std::move(outcome))->body());
  EXPECT_FALSE(body.at("choices").at(0).as_object().contains("token_ids"));
  EXPECT_FALSE(body.at("choices").at(0).as_object().contains("prompt_token_ids"));
}

TEST_F(OlderApiTest, DoesNotAdvertiseIt) {
  const auto fields = [](Api& api) {
    const ApiReply page = std::get<ApiReply>(api.handle(get("/openapi.json")));
    return json::parse(page.body)
        .at("components")
        .at("schemas")
        .at("CompletionRequest")
        .at("properties")
        .as_object();
  };
  EXPECT_TRUE(fields(api_).contains("return_token_ids"));
  EXPECT_FALSE(fields(older_).contains("return_token_ids"));
  EXPECT_TRUE(fields(older_).contains("prompt"));
}

}  // namespace
}  // namespace batchproxy::sim
