// tests/sim/refusals_test.cc - what vLLM refuses, with its status, type, param and words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/api_fixture.h"

namespace batchproxy::sim {
namespace {

using testing::HasSubstr;

constexpr const char* kChat = "/v1/chat/completions";

TEST_F(ApiTest, BodiesThatAreNotWhatTheyShouldBe) {
  EXPECT_EQ(refusal(R"({"prompt":)"), "400 Bad Request body.10");
  EXPECT_EQ(refusal(R"({"prompt":"x"} {})"), "400 Bad Request body.15");
  EXPECT_EQ(refusal(R"({"prompt":NaN})"), "400 Bad Request body.10");
  EXPECT_EQ(refusal(""), "400 Bad Request body");
  EXPECT_EQ(refusal("[]"), "400 Bad Request body");
  EXPECT_EQ(refusal("7"), "400 Bad Request body");
  EXPECT_THAT(refusal_message("/v1/completions", R"({"prompt" "x"})"),
              HasSubstr("'msg': 'JSON decode error'"));
}

TEST_F(ApiTest, UnreadableBodiesAreRefusedWithoutAPlace) {
  EXPECT_EQ(refusal("{\"prompt\":\"\xFF\"}"), "400 Bad Request");
  EXPECT_EQ(refusal(R"({"x":)" + std::string(100000, '[')), "400 Bad Request");
  EXPECT_EQ(refusal_message("/v1/completions", "{\"prompt\":\"\xFF\"}"),
            "There was an error parsing the body");
}

TEST_F(ApiTest, OnlyJsonIsTaken) {
  for (const char* type : {"", "text/plain", "application/jsonp"}) {
    ApiRequest request = post("/v1/completions", R"({"prompt":"x"})");
    request.content_type = type;
    EXPECT_EQ(error_of(request).at("type"), "Bad Request") << type;
  }
  ApiRequest request = post("/v1/completions", R"({"prompt":"x"})");
  request.content_type = "Application/JSON; charset=utf-8";
  EXPECT_TRUE(std::holds_alternative<std::unique_ptr<ApiCall>>(api_.handle(request)));
}

TEST_F(ApiTest, WrongTypesNameTheField) {
  EXPECT_EQ(refusal(R"({"prompt":7})"), "400 Bad Request body.prompt");
  EXPECT_EQ(refusal(R"({"prompt":["a",1]})"), "400 Bad Request body.prompt.0");
  EXPECT_EQ(refusal(R"({"prompt":[1,"a"]})"), "400 Bad Request body.prompt.1");
  EXPECT_EQ(refusal(R"({"prompt":["a",[1]]})"), "400 Bad Request body.prompt.0");
  EXPECT_EQ(refusal(R"({"prompt":[1,-1]})"), "400 Bad Request body.prompt.1");
  EXPECT_EQ(refusal(R"({"prompt":[[1],[-1]]})"), "400 Bad Request body.prompt");
  EXPECT_EQ(refusal(R"({"prompt":"x","max_tokens":"many"})"), "400 Bad Request body.max_tokens");
  EXPECT_EQ(refusal(R"({"prompt":"x","max_tokens":1.5})"), "400 Bad Request body.max_tokens");
  EXPECT_EQ(refusal(R"({"prompt":"x","n":[]})"), "400 Bad Request body.n");
  EXPECT_EQ(refusal(R"({"prompt":"x","stream":"maybe"})"), "400 Bad Request body.stream");
  EXPECT_EQ(refusal(R"({"prompt":"x","stop":[1]})"), "400 Bad Request body.stop");
  EXPECT_EQ(refusal(R"({"prompt":"x","temperature":"warm"})"), "400 Bad Request body.temperature");
  EXPECT_EQ(refusal(R"({"prompt":"x","model":7})"), "400 Bad Request body.model");
  EXPECT_EQ(refusal(R"({"prompt":"x","return_token_ids":"?"})"),
            "400 Bad Request body.return_token_ids");
  EXPECT_EQ(refusal(R"({"prompt":"x","seed":100000000000000000000})"), "400 Bad Request body.seed");
  EXPECT_EQ(refusal(kChat, R"({"messages":"hi"})"), "400 Bad Request body.messages");
  EXPECT_EQ(refusal(kChat, R"({"messages":[{"content":"hi"}]})"), "400 Bad Request body.messages");
  EXPECT_EQ(refusal(kChat, "{}"), "400 Bad Request body.messages");
}

// Word for word what vLLM 0.32 says.
TEST_F(ApiTest, EachFormOfAPromptHasItsComplaint) {
  EXPECT_EQ(refusal_message("/v1/completions", R"({"prompt":["one",[70]]})"),
            "5 validation errors:\n"
            "  {'type': 'int_parsing', 'loc': 'body.prompt.0', 'msg': 'Input should be a valid "
            "integer, unable to parse string as an integer', 'input': 'one'}\n"
            "  {'type': 'int_type', 'loc': 'body.prompt.1', 'msg': 'Input should be a valid "
            "integer', 'input': '<list of 1 items>'}\n"
            "  {'type': 'list_type', 'loc': 'body.prompt.0', 'msg': 'Input should be a valid "
            "list', 'input': 'one'}\n"
            "  {'type': 'string_type', 'loc': 'body.prompt', 'msg': 'Input should be a valid "
            "string', 'input': '<list of 2 items>'}\n"
            "  {'type': 'string_type', 'loc': 'body.prompt.1', 'msg': 'Input should be a valid "
            "string', 'input': '<list of 1 items>'}");
  EXPECT_EQ(
      refusal_message("/v1/completions", R"({"prompt":"x","stop":["a","b","c","d","e"]})"),
      "2 validation errors:\n"
      "  {'type': 'string_type', 'loc': 'body.stop', 'msg': 'Input should be a valid string', "
      "'input': '<list of 5 items>'}\n"
      "  {'type': 'too_long', 'loc': 'body.stop', 'msg': 'List should have at most 4 items "
      "after validation, not 5', 'input': '<list of 5 items>', 'ctx': {'field_type': 'List', "
      "'max_length': 4, 'actual_length': 5}}");
}

TEST_F(ApiTest, NumbersInStringsAndWholeFractionsAreNumbers) {
  EXPECT_EQ(complete(R"({"prompt":"x","max_tokens":"2","ignore_eos":"true"})")
                .at("usage")
                .at("completion_tokens"),
            2);
  EXPECT_EQ(complete(R"({"prompt":"x","max_tokens":3.0,"ignore_eos":1})")
                .at("usage")
                .at("completion_tokens"),
            3);
}

TEST_F(ApiTest, NothingToReadIsRefused) {
  EXPECT_EQ(refusal("{}"), "400 BadRequestError prompt");
  EXPECT_EQ(refusal(R"({"prompt":null})"), "400 BadRequestError prompt");
  EXPECT_EQ(refusal(R"({"prompt":""})"), "400 BadRequestError prompt");
  EXPECT_EQ(refusal(R"({"prompt":[]})"), "400 BadRequestError");
  EXPECT_EQ(refusal(R"({"prompt":["fine",""]})"), "400 BadRequestError");
  EXPECT_EQ(refusal(R"({"prompt":[[72],[]]})"), "400 BadRequestError");
  EXPECT_EQ(refusal(kChat, R"({"messages":[]})"), "400 BadRequestError");
  EXPECT_EQ(refusal("/v1/chat/completions/batch", R"({"messages":[]})"),
            "400 Bad Request body.messages");
  EXPECT_EQ(refusal("/tokenize", "{}"), "400 Bad Request body.prompt");
}

TEST_F(ApiTest, NumbersOutOfRangeAreNamedWithTheirValue) {
  EXPECT_EQ(refusal_message("/v1/completions", R"({"prompt":"x","max_tokens":-1})"),
            "max_tokens must be at least 1, got -1. (parameter=max_tokens, value=-1)");
  EXPECT_EQ(refusal_message("/v1/completions",
                            R"({"prompt":"x","max_tokens":100000000000000000000,"echo":true})"),
            "max_tokens=100000000000000000000 cannot be greater than "
            "max_model_len=1000. Please request fewer output tokens. "
            "(parameter=max_tokens, value=100000000000000000000)");
  EXPECT_EQ(refusal_message("/v1/completions", R"({"prompt":"x","temperature":3e400})"),
            "temperature must be a finite number, got inf. (parameter=temperature, value=inf)");
  EXPECT_EQ(refusal(R"({"prompt":"x","max_tokens":0})"), "400 BadRequestError max_tokens");
  EXPECT_EQ(refusal(R"({"prompt":"x","temperature":-1})"), "400 BadRequestError temperature");
  EXPECT_EQ(refusal(R"({"prompt":"x","top_p":0})"), "400 BadRequestError top_p");
  EXPECT_EQ(refusal(R"({"prompt":"x","n":0})"), "400 BadRequestError");
  EXPECT_EQ(refusal(R"({"prompt":"x","n":1e9})"), "400 BadRequestError");
  EXPECT_EQ(refusal_message("/v1/completions", R"({"prompt":"x","min_p":2})"),
            "min_p must be in [0, 1], got 2.0.");
  EXPECT_EQ(refusal(R"({"prompt":"x","n":2,"temperature":0})"), "400 BadRequestError");
  EXPECT_EQ(refusal(R"({"prompt":"x","logprobs":21})"), "400 BadRequestError logprobs");
  EXPECT_EQ(refusal(R"({"prompt":"x","logprobs":-1})"), "400 BadRequestError logprobs");
  EXPECT_EQ(refusal(R"({"prompt":"x","prompt_logprobs":50})"),
            "400 BadRequestError prompt_logprobs");
  EXPECT_EQ(refusal(R"({"prompt":"x","min_tokens":17})"), "400 BadRequestError");
  EXPECT_EQ(refusal(R"({"prompt":"x","stop":["a",""]})"), "400 BadRequestError");
  EXPECT_EQ(refusal(R"({"prompt":[123456789012345678]})"), "400 BadRequestError");
  EXPECT_EQ(refusal(kChat, R"({"messages":[{"role":"user"}],"max_completion_tokens":0})"),
            "400 BadRequestError max_completion_tokens");
}

TEST_F(ApiTest, AListHasAtMost1024Prompts) {
  const auto list = [](int size) {
    std::string body = R"({"max_tokens":1,"prompt":["x")";
    for (int i = 1; i < size; ++i) body += R"(,"x")";
    return body + "]}";
  };
  EXPECT_EQ(complete(list(1024)).at("choices").as_array().size(), 1024u);
  EXPECT_EQ(refusal(list(1025)), "400 BadRequestError prompt");
}

TEST_F(ApiTest, FieldsThatDoNotGoTogether) {
  EXPECT_EQ(refusal(R"({"prompt":"x","suffix":"y"})"), "400 BadRequestError suffix");
  EXPECT_EQ(refusal(R"({"prompt":"x","stream_options":{}})"), "400 BadRequestError stream_options");
  EXPECT_EQ(refusal(R"({"prompt":"x","cache_salt":""})"), "400 BadRequestError cache_salt");
  EXPECT_EQ(refusal(R"({"prompt":"x","prompt_logprobs":1,"stream":true})"),
            "400 BadRequestError prompt_logprobs");
  EXPECT_EQ(refusal(R"({"prompt":"x","structured_outputs":{"regex":"("}})"), "400 BadRequestError");
  EXPECT_EQ(refusal(kChat, R"({"messages":[{"role":"user"}],"top_logprobs":2})"),
            "400 BadRequestError top_logprobs");
  EXPECT_EQ(refusal(kChat, R"({"messages":[{"role":"user"}],"tools":[{"type":"function"}]})"),
            "400 BadRequestError");
  EXPECT_EQ(refusal("/v1/chat/completions/batch", R"({"messages":[[{"role":"user"}]],"n":2})"),
            "400 BadRequestError");
}

TEST_F(ApiTest, OverlongPromptsNameTheContextLength) {
  const auto of_tokens = [](int count) {
    std::string body = R"({"max_tokens":1000,"ignore_eos":true,"prompt":[72)";
    for (int i = 1; i < count; ++i) body += ",72";
    return body + "]}";
  };
  EXPECT_EQ(
      refusal_message("/v1/completions", of_tokens(1005)),
      "This model's maximum context length is 1000 tokens. However, your prompt contains 1005 "
      "input tokens, which exceeds this limit even without any output tokens. Please reduce "
      "the length of the input prompt. (parameter=input_tokens, value=1005)");
  EXPECT_THAT(refusal_message("/v1/completions", R"({"prompt":")" + std::string(9000, 'x') + "\"}"),
              HasSubstr("contains at least 1001 input tokens"));
  EXPECT_EQ(refusal_message("/v1/completions", of_tokens(1000)),
            "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)");
  EXPECT_EQ(complete(of_tokens(990)).at("usage").at("completion_tokens"), 10);  // cut to what fits
}

TEST_F(ApiTest, AModelThatIsNotServed) {
  EXPECT_EQ(refusal(R"({"prompt":"x","model":"other"})"), "404 NotFoundError model");
  EXPECT_EQ(refusal_message("/tokenize", R"({"prompt":"x","model":"other"})"),
            "The model `other` does not exist. Valid aliases: org/model, alias.");
}

TEST_F(ApiTest, OneBadMemberSpoilsTheWholeCall) {
  EXPECT_EQ(refusal(R"({"prompt":["fine","@@400@@"]})"), "400 BadRequestError prompt");
  EXPECT_EQ(refusal(R"({"prompt":["@@500@@","fine"]})"), "500 InternalServerError");
  EXPECT_EQ(refusal(R"({"prompt":["fine",")" + std::string(9000, 'x') + R"("]})"),
            "400 BadRequestError input_tokens");
  const auto batch = [](const std::string& text) {
    return R"({"messages":[[{"role":"user","content":"fine"}],[{"role":"user","content":")" + text +
           R"("}]]})";
  };
  EXPECT_EQ(refusal("/v1/chat/completions/batch", batch("@@400@@")), "400 BadRequestError prompt");
  EXPECT_EQ(refusal("/v1/chat/completions/batch", batch("@@500@@")), "500 InternalServerError");
}

TEST_F(PoolingApiTest, OneBadMemberSpoilsTheWholeCallOfAModelThatEmbeds) {
  EXPECT_EQ(refusal("/v1/embeddings", R"({"input":["fine","@@500@@"]})"),
            "500 InternalServerError");
}

}  // namespace
}  // namespace batchproxy::sim
