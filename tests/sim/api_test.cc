// tests/sim/api_test.cc - routes, access, faults and the small endpoints, without a socket.
#include <boost/json/serialize.hpp>
#include <gtest/gtest.h>

#include "tests/sim/api_fixture.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

TEST_F(ApiTest, MarkersInAPromptCauseFaults) {
  EXPECT_EQ(refusal(R"({"prompt":"@@400@@"})"), "400 BadRequestError prompt");
  EXPECT_EQ(refusal(R"({"prompt":"@@500@@"})"), "500 InternalServerError");
  EXPECT_EQ(std::get<Fault>(api_.handle(post("/v1/completions", R"({"prompt":"@@crash@@"})"))),
            Fault::kCrash);
  EXPECT_EQ(std::get<Fault>(api_.handle(post("/v1/completions", R"({"prompt":"@@die@@"})"))),
            Fault::kDie);
}

TEST_F(ApiTest, FaultsCanBeOrdered) {
  const auto order = [this](const char* body) {
    return std::get<Fault>(api_.handle(post("/sim/fault", body)));
  };
  EXPECT_EQ(order(R"({"mode":"hang"})"), Fault::kHang);
  EXPECT_EQ(order(R"({"mode":"none"})"), Fault::kNone);
  EXPECT_EQ(order(R"({"mode":"crash"})"), Fault::kCrash);
  EXPECT_EQ(order(R"({"mode":"die"})"), Fault::kDie);
  EXPECT_EQ(reply(post("/sim/fault", R"({"mode":"other"})")).status, 400);
}

TEST_F(ApiTest, UnknownPathsAndMethodsAnswerLikeStarlette) {
  EXPECT_EQ(reply(get("/nothing")).status, 404);
  EXPECT_EQ(reply(get("/nothing")).body, R"({"detail":"Not Found"})");
  EXPECT_EQ(reply(get("/v1/completions")).status, 405);
  EXPECT_EQ(reply(get("/v1/completions")).body, R"({"detail":"Method Not Allowed"})");
  EXPECT_EQ(reply(get("/v1/completions")).allow, "POST");
}

TEST_F(ApiTest, ASlashAtTheEndIsSentElsewhere) {
  ApiRequest request = get("/v1/models/?x=1");
  request.host = "engine:8000";
  EXPECT_EQ(reply(request).status, 307);
  EXPECT_EQ(reply(request).location, "http://engine:8000/v1/models?x=1");
  EXPECT_EQ(reply(get("/nothing/")).status, 404);
}

TEST_F(ApiTest, AModelThatGeneratesDoesNotEmbedAndTheOtherWayRound) {
  ApiOptions pooling = options();
  pooling.pooling = true;
  Api other(pooling, server_);
  const std::string body = R"({"input":"x","prompt":"x","query":"x","documents":["y"]})";
  const auto status_of = [&](Api& api, const std::string& path) {
    const ApiOutcome outcome = api.handle(post(path, body));
    const auto* answered = std::get_if<ApiReply>(&outcome);
    return answered == nullptr ? 200 : answered->status;
  };
  for (const char* path : {"/v1/embeddings", "/pooling", "/classify", "/rerank", "/v2/rerank"}) {
    EXPECT_EQ(status_of(api_, path), 404) << path;
    EXPECT_EQ(status_of(other, path), 200) << path;
  }
  EXPECT_EQ(status_of(api_, "/v1/completions"), 200);
  EXPECT_EQ(status_of(other, "/v1/completions"), 404);
  EXPECT_EQ(reply(get("/tokenizer_info")).status, 404);
  EXPECT_EQ(status_of(api_, "/inference/v1/generate"), 403);
}

TEST_F(ApiTest, EveryServedNameIsListedAsSimulated) {
  const json::value body = json::parse(reply(get("/v1/models")).body);
  ASSERT_EQ(body.at("data").as_array().size(), 2u);
  EXPECT_EQ(body.at("data").at(1).at("id"), "alias");
  EXPECT_EQ(body.at("data").at(1).at("simulated"), true);
  EXPECT_EQ(body.at("data").at(1).at("max_model_len"), 1000);
  EXPECT_NE(reply(get("/version")).body.find("simulated"), std::string::npos);
}

TEST_F(ApiTest, AdaptersComeAndGo) {
  ApiOptions with_adapters = options();
  with_adapters.runtime_lora = true;
  Api api(with_adapters, server_);
  const auto ask = [&](const ApiRequest& request) {
    return std::get<ApiReply>(api.handle(request));
  };
  const ApiRequest load =
      post("/v1/load_lora_adapter", R"({"lora_name":"sql","lora_path":"/adapters/sql"})");
  EXPECT_EQ(ask(post("/v1/load_lora_adapter", R"({"lora_name":"sql"})")).status, 400);
  EXPECT_EQ(ask(load).body, "Success: LoRA adapter 'sql' added successfully.");
  EXPECT_EQ(ask(load).status, 400);
  EXPECT_NE(ask(load).body.find("has already been loaded"), std::string::npos);
  const json::value listed = json::parse(ask(get("/v1/models")).body);
  EXPECT_EQ(listed.at("data").at(2).at("id"), "sql");
  EXPECT_EQ(listed.at("data").at(2).at("root"), "/adapters/sql");
  EXPECT_EQ(listed.at("data").at(2).at("parent"), "org/model");
  EXPECT_EQ(ask(post("/tokenize", R"({"prompt":"x","model":"sql"})")).status, 200);
  const ApiRequest unload = post("/v1/unload_lora_adapter", R"({"lora_name":"sql"})");
  EXPECT_EQ(ask(unload).status, 200);
  EXPECT_EQ(ask(unload).status, 404);
  EXPECT_EQ(ask(post("/tokenize", R"({"prompt":"x","model":"sql"})")).status, 404);
}

TEST_F(ApiTest, AdaptersAreLoadedOnlyWhereThatIsAllowed) {
  EXPECT_EQ(reply(post("/v1/load_lora_adapter", R"({"lora_name":"a","lora_path":"b"})")).body,
            R"({"detail":"Not Found"})");
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

TEST_F(ApiTest, KeysGuardTheVersionedPathsOnly) {
  ApiOptions guarded = options();
  guarded.api_keys = {"secret"};
  Api api(guarded, server_);
  ApiRequest request = get("/v1/models");
  EXPECT_EQ(std::get<ApiReply>(api.handle(request)).status, 401);
  request.authorization = "Bearer secret";
  EXPECT_EQ(std::get<ApiReply>(api.handle(request)).status, 200);
  EXPECT_EQ(std::get<ApiReply>(api.handle(get("/health"))).status, 200);
  EXPECT_EQ(std::get<ApiReply>(api.handle(post("/v2/rerank", "{}"))).status, 401);
  EXPECT_EQ(std::get<ApiReply>(api.handle(post("/tokenize", "{}"))).status, 400);
}

TEST_F(ApiTest, OpenapiListsTheRoutesOfTheStartUpLog) {
  const json::value page = json::parse(reply(get("/openapi.json")).body);
  // But for itself and what is disabled; /ping takes two methods.
  EXPECT_EQ(page.at("paths").as_object().size() + 5, Api::routes(options()).size());
  for (const char* path : {"/v1/completions", "/v1/chat/completions/batch"}) {
    EXPECT_TRUE(page.at("paths").at(path).as_object().contains("post")) << path;
  }
  EXPECT_TRUE(page.at("paths").at("/health").as_object().contains("get"));
}

TEST_F(ApiTest, MetricsCountWhatHappened) {
  const auto done = call("/v1/completions", R"({"prompt":"x","max_tokens":3})");
  ASSERT_TRUE(server_.begin_call(1, done->work(), false, 0));
  while (const auto next = server_.next_event()) server_.advance(*next);
  api_.on_answered(*done);
  const std::string page = reply(get("/metrics")).body;
  const std::string labels = R"({engine="0",model_name="org/model")";
  const auto ended = [](const std::string& reason) {
    return R"(vllm:request_success_total{engine="0",finished_reason=")" + reason +
           R"(",model_name="org/model"} )";
  };
  for (const std::string& line :
       {"vllm:num_requests_running" + labels + "} 0\n",
        "vllm:num_requests_waiting" + labels + "} 0\n",
        "vllm:prompt_tokens_total" + labels + "} 1.0\n",
        "vllm:generation_tokens_total" + labels + "} 3.0\n", ended("length") + "1.0\n",
        ended("abort") + "0.0\n", "vllm:iteration_tokens_total_count" + labels + "} 3.0\n"}) {
    EXPECT_NE(page.find(line), std::string::npos) << line << "\n" << page;
  }
  EXPECT_NE(page.find(R"(,num_gpu_blocks="6735")"), std::string::npos);
  EXPECT_NE(page.find(R"({_block_size_resolved="True",block_size="16")"), std::string::npos);
}

}  // namespace
}  // namespace batchproxy::sim
