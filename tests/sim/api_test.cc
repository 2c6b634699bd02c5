// tests/sim/api_test.cc - the shapes of requests, responses and errors, without a socket.
#include "backends/sim/api.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

namespace json = boost::json;

class ApiTest : public testing::Test {
 protected:
  static ApiOptions options() {
    ApiOptions options;
    options.model = "org/model";
    options.served_names = {"org/model", "alias"};
    options.max_model_len = 1000;
    return options;
  }

  static ApiRequest post(const std::string& target, const std::string& body) {
    ApiRequest request;
    request.method = "POST";
    request.target = target;
    request.content_type = "application/json";
    request.body = body;
    request.unix_time = 1700000000;
    return request;
  }

  static ApiRequest get(const std::string& target) {
    ApiRequest request;
    request.method = "GET";
    request.target = target;
    return request;
  }

  std::unique_ptr<GenerationCall> call(const std::string& target, const std::string& body) {
    ApiOutcome outcome = api_.handle(post(target, body));
    if (auto* reply = std::get_if<ApiReply>(&outcome)) ADD_FAILURE() << reply->body;
    return std::get<std::unique_ptr<GenerationCall>>(std::move(outcome));
  }

  json::value complete(const std::string& body) {
    return json::parse(call("/v1/completions", body)->body());
  }

  ApiReply reply(const ApiRequest& request) { return std::get<ApiReply>(api_.handle(request)); }

  // "status type param" of a refused completion.
  std::string refusal(const std::string& body) {
    const ApiReply refused = reply(post("/v1/completions", body));
    const json::value error = json::parse(refused.body).at("error");
    EXPECT_EQ(error.at("code"), refused.status);
    const json::value& param = error.at("param");
    return std::to_string(refused.status) + " " + std::string(error.at("type").as_string()) +
           (param.is_null() ? "" : " " + std::string(param.as_string()));
  }

  // Everything that a stream sends.
  static std::vector<json::value> stream(GenerationCall& call) {
    std::string events = call.opening();
    const std::vector<Work> items = call.work();
    for (int index = 0; index < static_cast<int>(items.size()); ++index) {
      for (int token = 0; token < items[static_cast<std::size_t>(index)].output_tokens; ++token) {
        events += call.next_chunk(index);
      }
    }
    events += call.closing();
    std::vector<json::value> chunks;
    std::size_t at = 0;
    while (events.compare(at, 12, "data: [DONE]") != 0) {
      const std::size_t end = events.find("\n\n", at);
      chunks.push_back(json::parse(events.substr(at + 6, end - at - 6)));
      at = end + 2;
    }
    return chunks;
  }

  Hardware hardware_{Gpu::kA100, 1};
  ServerModel server_{hardware_, {256, 2048, 6735, true}, {}};
  Api api_{options(), server_};
};

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

TEST_F(ApiTest, TokenIdsTellTheUsageOfEachMember) {
  const json::value body =
      complete(R"({"prompt":["a b c","d"],"max_tokens":2,"return_token_ids":true})");
  EXPECT_EQ(body.at("choices").at(0).at("prompt_token_ids").as_array().size(), 3u);
  EXPECT_EQ(body.at("choices").at(1).at("prompt_token_ids").as_array().size(), 1u);
  EXPECT_EQ(body.at("choices").at(1).at("token_ids").as_array().size(), 2u);
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
  EXPECT_EQ(chunks.back().at("usage"), whole.at("usage"));
  EXPECT_TRUE(chunks.back().at("choices").as_array().empty());
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

TEST_F(ApiTest, RefusesWhatVllmRefuses) {
  EXPECT_EQ(refusal(R"({"prompt":)"), "400 Bad Request");
  EXPECT_EQ(refusal(R"([])"), "400 Bad Request");
  EXPECT_EQ(refusal(R"({"prompt":7})"), "400 Bad Request");
  EXPECT_EQ(refusal(R"({"prompt":"x","max_tokens":"7"})"), "400 Bad Request");
  EXPECT_EQ(refusal(R"({})"), "400 BadRequestError prompt");
  EXPECT_EQ(refusal(R"({"prompt":[]})"), "400 BadRequestError prompt");
  EXPECT_EQ(refusal(R"({"prompt":""})"), "400 BadRequestError prompt");
  EXPECT_EQ(refusal(R"({"prompt":["fine",""]})"), "400 BadRequestError prompt");
  EXPECT_EQ(refusal(R"({"prompt":"x","max_tokens":0})"), "400 BadRequestError max_tokens");
  EXPECT_EQ(refusal(R"({"prompt":"x","max_tokens":1000})"), "400 BadRequestError input_tokens");
  EXPECT_EQ(refusal(R"({"prompt":"x","n":0})"), "400 BadRequestError n");
  EXPECT_EQ(refusal(R"({"prompt":"x","logprobs":21})"), "400 BadRequestError logprobs");
  EXPECT_EQ(refusal(R"({"prompt":"x","suffix":"y"})"), "400 BadRequestError suffix");
  EXPECT_EQ(refusal(R"({"prompt":"x","stream_options":{}})"), "400 BadRequestError stream_options");
  EXPECT_EQ(refusal(R"({"prompt":[-1]})"), "400 BadRequestError");
  EXPECT_EQ(refusal(R"({"prompt":"x","model":"other"})"), "404 NotFoundError model");
}

TEST_F(ApiTest, OverlongPromptsNameTheContextLength) {
  const ApiReply refused =
      reply(post("/v1/completions", R"({"prompt":")" + std::string(9000, 'x') + R"("})"));
  EXPECT_NE(refused.body.find("This model's maximum context length is 1000 tokens. However, you "
                              "requested"),
            std::string::npos);
}

TEST_F(ApiTest, MarkersInAPromptCauseFaults) {
  EXPECT_EQ(refusal(R"({"prompt":["fine","@@400@@"]})"), "400 BadRequestError prompt");
  EXPECT_EQ(refusal(R"({"prompt":["fine","@@500@@"]})"), "500 InternalServerError");
  EXPECT_EQ(std::get<Fault>(api_.handle(post("/v1/completions", R"({"prompt":"@@crash@@"})"))),
            Fault::kCrash);
}

TEST_F(ApiTest, FaultsCanBeOrdered) {
  const auto order = [this](const char* body) {
    return std::get<Fault>(api_.handle(post("/sim/fault", body)));
  };
  EXPECT_EQ(order(R"({"mode":"hang"})"), Fault::kHang);
  EXPECT_EQ(order(R"({"mode":"none"})"), Fault::kNone);
  EXPECT_EQ(order(R"({"mode":"crash"})"), Fault::kCrash);
  EXPECT_EQ(reply(post("/sim/fault", R"({"mode":"other"})")).status, 400);
}

TEST_F(ApiTest, UnknownPathsAndMethodsAnswerLikeStarlette) {
  EXPECT_EQ(reply(get("/nothing")).status, 404);
  EXPECT_EQ(reply(get("/nothing")).body, R"({"detail":"Not Found"})");
  EXPECT_EQ(reply(get("/v1/completions")).status, 405);
  EXPECT_EQ(reply(get("/v1/completions")).body, R"({"detail":"Method Not Allowed"})");
}

TEST_F(ApiTest, EveryServedNameIsListedAsSimulated) {
  const json::value body = json::parse(reply(get("/v1/models")).body);
  ASSERT_EQ(body.at("data").as_array().size(), 2u);
  EXPECT_EQ(body.at("data").at(1).at("id"), "alias");
  EXPECT_EQ(body.at("data").at(1).at("simulated"), true);
  EXPECT_EQ(body.at("data").at(1).at("max_model_len"), 1000);
  EXPECT_NE(reply(get("/version")).body.find("simulated"), std::string::npos);
}

TEST_F(ApiTest, TokenizeAndDetokenizeAreInverse) {
  const json::value tokens =
      json::parse(reply(post("/tokenize", R"({"prompt":"Größe: 3 µm","model":"alias"})")).body);
  EXPECT_EQ(tokens.at("count").to_number<std::size_t>(), tokens.at("tokens").as_array().size());
  const json::value text = json::parse(
      reply(post("/detokenize", json::serialize(json::object{{"tokens", tokens.at("tokens")}})))
          .body);
  EXPECT_EQ(text.at("prompt"), "Größe: 3 µm");
}

TEST_F(ApiTest, KeysGuardTheV1PathsOnly) {
  ApiOptions guarded = options();
  guarded.api_keys = {"secret"};
  Api api(guarded, server_);
  ApiRequest request = get("/v1/models");
  EXPECT_EQ(std::get<ApiReply>(api.handle(request)).status, 401);
  request.authorization = "Bearer secret";
  EXPECT_EQ(std::get<ApiReply>(api.handle(request)).status, 200);
  EXPECT_EQ(std::get<ApiReply>(api.handle(get("/health"))).status, 200);
}

TEST_F(ApiTest, MetricsCountWhatHappened) {
  const auto done = call("/v1/completions", R"({"prompt":"x","max_tokens":3})");
  ASSERT_TRUE(server_.begin_call(1, done->work(), false, 0));
  while (const auto next = server_.next_event()) server_.advance(*next);
  api_.on_answered(*done);
  api_.on_aborted(*call("/v1/completions", R"({"prompt":["x","y"]})"));
  const std::string page = reply(get("/metrics")).body;
  const std::string labels = R"({engine="0",model_name="org/model")";
  for (const std::string& line :
       {"vllm:num_requests_running" + labels + "} 0\n",
        "vllm:num_requests_waiting" + labels + "} 0\n",
        "vllm:prompt_tokens_total" + labels + "} 1.0\n",
        "vllm:generation_tokens_total" + labels + "} 3.0\n",
        "vllm:request_success_total" + labels + R"(,finished_reason="length"} 1.0)",
        "vllm:request_success_total" + labels + R"(,finished_reason="abort"} 2.0)",
        "vllm:iteration_tokens_total_count" + labels + "} 3.0\n"}) {
    EXPECT_NE(page.find(line), std::string::npos) << line << "\n" << page;
  }
  EXPECT_NE(page.find(R"(num_gpu_blocks="6735")"), std::string::npos);
}

}  // namespace
}  // namespace batchproxy
