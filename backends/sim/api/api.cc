// backends/sim/api/api.cc - routes, access and the small endpoints.
#include "backends/sim/api/api.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "backends/sim/api/api_render.h"
#include "backends/sim/api/metrics_text.h"
#include "backends/sim/api/openapi.h"
#include "backends/sim/api/pooling_call.h"
#include "backends/sim/api/request_fields.h"
#include "backends/sim/model/hash.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

ApiReply json_reply(const json::object& body) {
  return {200, "application/json", json::serialize(body)};
}

ApiReply error_reply(const ApiError& error) {
  json::value param = nullptr;
  if (!error.param.empty()) param = error.param;
  const json::object body{{"error",
                           {{"message", error.what()},
                            {"type", error.type},
                            {"param", std::move(param)},
                            {"code", error.status}}}};
  return {error.status, "application/json", json::serialize(body)};
}

// Starlette's own answers, to which vLLM adds nothing.
ApiReply detail_reply(int status, std::string_view detail) {
  return {status, "application/json", json::serialize(json::object{{"detail", detail}})};
}

std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

// The object in a body. Throws when there is none, or when it is not announced as JSON.
json::object body_of(const ApiRequest& request) {
  json::object body = parse_object(request.body);
  std::string type = request.content_type.substr(0, request.content_type.find(';'));
  std::ranges::transform(type, type.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (type != "application/json") {
    throw ApiError(400, "Bad Request",
                   "1 validation error:\n  Unsupported Media Type: Only 'application/json' is "
                   "allowed");
  }
  return body;
}

// What vLLM lets clients do with a model, in OpenAI's old words.
json::array permission(std::int64_t created) {
  return {json::object{{"id", "modelperm-simulated"},
                       {"object", "model_permission"},
                       {"created", created},
                       {"allow_create_engine", false},
                       {"allow_sampling", true},
                       {"allow_logprobs", true},
                       {"allow_search_indices", false},
                       {"allow_view", true},
                       {"allow_fine_tuning", false},
                       {"organization", "*"},
                       {"group", nullptr},
                       {"is_blocking", false}}};
}

bool has_marker(const std::vector<Prompt>& prompts, std::string_view marker) {
  return std::ranges::any_of(prompts, [marker](const Prompt& prompt) {
    return prompt.text.find(marker) != std::string::npos;
  });
}

// One prompt with a marker spoils the call for all of them.
void refuse_marked(const std::vector<Prompt>& prompts) {
  if (has_marker(prompts, "@@500@@")) {
    throw ApiError(500, "InternalServerError", "Simulated failure: the prompt contains @@500@@.");
  }
  if (has_marker(prompts, "@@400@@")) {
    throw bad_request("Simulated refusal: the prompt contains @@400@@.", "prompt");
  }
}

}  // namespace

const std::vector<Api::Route>& Api::route_table() {
  constexpr auto always = [](const ApiOptions&) { return true; };
  constexpr auto generating = [](const ApiOptions& options) { return !options.pooling; };
  constexpr auto pooling = [](const ApiOptions& options) { return options.pooling; };
  constexpr auto runtime_lora = [](const ApiOptions& options) { return options.runtime_lora; };
  constexpr auto tokenizer_info = [](const ApiOptions& options) { return options.tokenizer_info; };
  static const std::vector<Route> routes = {
      {"POST", "/v1/completions", &Api::completions, generating},
      {"POST", "/v1/chat/completions", &Api::chat, generating},
      {"POST", "/v1/chat/completions/batch", &Api::chat_batch, generating},
      {"POST", "/v1/completions/render", &Api::scale_out, generating, false},
      {"POST", "/v1/chat/completions/render", &Api::scale_out, generating, false},
      {"POST", "/inference/v1/generate", &Api::scale_out, generating, false},
      {"POST", "/v1/embeddings", &Api::embeddings, pooling},
      {"POST", "/pooling", &Api::pooling, pooling},
      {"POST", "/classify", &Api::classify, pooling},
      {"POST", "/score", &Api::score, pooling},
      {"POST", "/v1/score", &Api::score, pooling},
      {"POST", "/rerank", &Api::rerank, pooling},
      {"POST", "/v1/rerank", &Api::rerank, pooling},
      {"POST", "/v2/rerank", &Api::rerank, pooling},
      {"POST", "/tokenize", &Api::tokenize_text, always},
      {"POST", "/detokenize", &Api::detokenize_ids, always},
      {"GET", "/tokenizer_info", &Api::tokenizer_info, tokenizer_info},
      {"POST", "/v1/load_lora_adapter", &Api::load_adapter, runtime_lora},
      {"POST", "/v1/unload_lora_adapter", &Api::unload_adapter, runtime_lora},
      {"GET", "/v1/models", &Api::models, always},
      {"GET", "/health", &Api::health, always},
      {"GET", "/ping", &Api::ping, always},
      {"POST", "/ping", &Api::ping, always},
      {"GET", "/load", &Api::load, always},
      {"GET", "/version", &Api::version, always},
      {"GET", "/metrics", &Api::metrics, always},
      {"GET", "/openapi.json", &Api::openapi, always, false},
      {"POST", "/sim/fault", &Api::fault, always},
  };
  return routes;
}

Api::Api(ApiOptions options, const ServerModel& server)
    : options_(std::move(options)), server_(server) {}

std::vector<std::string> Api::routes(const ApiOptions& options) {
  std::vector<std::string> names;
  for (const Route& route : route_table()) {
    if (!route.is_there(options)) continue;
    names.push_back(std::string(route.path) + ", Methods: " + std::string(route.method));
  }
  return names;
}

ApiOutcome Api::handle(const ApiRequest& request) {
  try {
    return dispatch(request);
  } catch (const ApiError& error) {
    return error_reply(error);
  } catch (const std::exception& error) {
    return error_reply({500, "InternalServerError", error.what()});
  }
}

ApiOutcome Api::dispatch(const ApiRequest& request) {
  const std::string_view path = path_of(request.target);
  if (!may_call(path, request))
    return ApiReply{401, "application/json", R"({"error":"Unauthorized"})"};
  std::string_view allowed;
  for (const Route& route : route_table()) {
    if (route.path != path || !route.is_there(options_)) continue;
    if (route.method == request.method) return (this->*route.handler)(request);
    allowed = route.method;
  }
  if (allowed.empty() && path.ends_with('/') && is_path(path.substr(0, path.size() - 1))) {
    const std::string query = request.target.substr(path.size());
    const std::string to(path.substr(0, path.size() - 1));
    return ApiReply{.status = 307, .location = "http://" + request.host + to + query};
  }
  if (allowed.empty()) return detail_reply(404, "Not Found");
  ApiReply reply = detail_reply(405, "Method Not Allowed");
  reply.allow = allowed;
  return reply;
}

bool Api::is_path(std::string_view path) const {
  return std::ranges::any_of(route_table(), [&](const Route& route) {
    return route.path == path && route.is_there(options_);
  });
}

bool Api::may_call(std::string_view path, const ApiRequest& request) const {
  // As in vLLM, keys guard these and nothing else.
  const bool guarded = path.starts_with("/v1") || path.starts_with("/v2");
  if (options_.api_keys.empty() || !guarded) return true;
  return std::ranges::any_of(options_.api_keys, [&](const std::string& key) {
    return request.authorization == "Bearer " + key;
  });
}

void Api::on_answered(const ApiCall& call) {
  const RequestTally ended = call.tally();
  tally_.stop += ended.stop;
  tally_.length += ended.length;
}

ApiOutcome Api::completions(const ApiRequest& request) {
  return generate(Endpoint::kCompletions, request);
}

ApiOutcome Api::chat(const ApiRequest& request) {
  return generate(Endpoint::kChat, request);
}

ApiOutcome Api::chat_batch(const ApiRequest& request) {
  return generate(Endpoint::kChatBatch, request);
}

ApiOutcome Api::generate(Endpoint endpoint, const ApiRequest& request) {
  const json::object body = body_of(request);
  std::string model = served_model(body);
  GenerationRequest parsed = parse_generation(endpoint, body, options_);
  if (has_marker(parsed.prompts, "@@crash@@")) return Fault::kCrash;
  if (has_marker(parsed.prompts, "@@die@@")) return Fault::kDie;
  refuse_marked(parsed.prompts);
  const std::string_view prefix = parsed.chat ? "chatcmpl-" : "cmpl-";
  return std::make_unique<GenerationCall>(std::move(parsed),
                                          identity(prefix, std::move(model), request), options_);
}

ApiOutcome Api::embeddings(const ApiRequest& request) {
  return pool(PoolingTask::kEmbed, request);
}

ApiOutcome Api::pooling(const ApiRequest& request) {
  return pool(PoolingTask::kPool, request);
}

ApiOutcome Api::classify(const ApiRequest& request) {
  return pool(PoolingTask::kClassify, request);
}

ApiOutcome Api::score(const ApiRequest& request) {
  return pool(PoolingTask::kScore, request);
}

ApiOutcome Api::rerank(const ApiRequest& request) {
  return pool(PoolingTask::kRerank, request);
}

ApiOutcome Api::pool(PoolingTask task, const ApiRequest& request) {
  const json::object body = body_of(request);
  std::string model = served_model(body);
  PoolingRequest parsed = parse_pooling(task, body, options_.max_model_len);
  if (has_marker(parsed.prompts, "@@crash@@")) return Fault::kCrash;
  refuse_marked(parsed.prompts);
  refuse_marked(parsed.queries);
  return std::make_unique<PoolingCall>(std::move(parsed),
                                       identity(id_prefix(task), std::move(model), request));
}

ApiOutcome Api::tokenize_text(const ApiRequest& request) {
  const json::object body = body_of(request);
  served_model(body);
  const Prompt prompt = parse_tokenize(body);
  json::value strings = nullptr;
  if (const json::value* wanted = body.if_contains("return_token_strs");
      wanted != nullptr && *wanted == true) {
    json::array texts;
    for (const Token token : prompt.tokens) texts.emplace_back(valid_utf8(token_text(token)));
    strings = std::move(texts);
  }
  return json_reply({{"count", prompt.tokens.size()},
                     {"max_model_len", options_.max_model_len},
                     {"tokens", json::array(prompt.tokens.begin(), prompt.tokens.end())},
                     {"token_strs", std::move(strings)}});
}

ApiOutcome Api::detokenize_ids(const ApiRequest& request) {
  const json::object body = body_of(request);
  served_model(body);
  const std::vector<Token> tokens = token_ids(required_field(body, "tokens"), "tokens");
  return json_reply({{"prompt", valid_utf8(detokenize(tokens))}});
}

ApiOutcome Api::tokenizer_info(const ApiRequest&) {
  return json_reply({{"tokenizer_class", "SimulatedTokenizer"},
                     {"simulated", true},
                     {"vocab_size", vocabulary_size()},
                     {"model_max_length", options_.max_model_len},
                     {"bos_token", nullptr},
                     {"eos_token", nullptr},
                     {"chat_template", nullptr}});
}

// vLLM answers with a bare sentence.
ApiOutcome Api::load_adapter(const ApiRequest& request) {
  return ApiReply{200, "text/plain; charset=utf-8", adapters_.load(body_of(request))};
}

ApiOutcome Api::unload_adapter(const ApiRequest& request) {
  return ApiReply{200, "text/plain; charset=utf-8", adapters_.unload(body_of(request))};
}

ApiOutcome Api::models(const ApiRequest& request) {
  json::array data;
  for (const std::string& name : options_.served_names) {
    data.push_back(json::object{{"id", name},
                                {"object", "model"},
                                {"created", request.unix_time},
                                {"owned_by", "batchproxy-simulated"},
                                {"simulated", true},
                                {"root", options_.model},
                                {"parent", nullptr},
                                {"max_model_len", options_.max_model_len},
                                {"permission", permission(request.unix_time)}});
  }
  for (const Adapters::Adapter& adapter : adapters_.all()) {
    data.push_back(json::object{{"id", adapter.name},
                                {"object", "model"},
                                {"created", request.unix_time},
                                {"owned_by", "batchproxy-simulated"},
                                {"simulated", true},
                                {"root", adapter.path},
                                {"parent", options_.served_names.front()},
                                {"permission", permission(request.unix_time)}});
  }
  return json_reply({{"object", "list"}, {"data", std::move(data)}});
}

ApiOutcome Api::health(const ApiRequest&) {
  return ApiReply{.status = dead_ ? 503 : 200};
}

ApiOutcome Api::ping(const ApiRequest& request) {
  return health(request);
}

// vLLM counts only with --enable-server-load-tracking.
ApiOutcome Api::load(const ApiRequest&) {
  return json_reply({{"server_load", 0}});
}

ApiOutcome Api::scale_out(const ApiRequest&) {
  throw ApiError(403, "PermissionDeniedError",
                 "Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to "
                 "enable them.");
}

ApiOutcome Api::version(const ApiRequest&) {
  return json_reply({{"version", "simulated " BATCHPROXY_VERSION}});
}

ApiOutcome Api::metrics(const ApiRequest&) {
  return ApiReply{200, "text/plain; version=0.0.4; charset=utf-8",
                  metrics_text(server_, tally_, options_)};
}

ApiOutcome Api::openapi(const ApiRequest&) {
  std::vector<RouteName> names;
  for (const Route& route : route_table()) {
    if (route.is_there(options_) && route.on_openapi) names.push_back({route.method, route.path});
  }
  return ApiReply{200, "application/json", openapi_page(names, options_.token_ids)};
}

ApiOutcome Api::fault(const ApiRequest& request) {
  const json::object body = parse_object(request.body);
  const json::value* mode = body.if_contains("mode");
  if (mode != nullptr && *mode == "none") return Fault::kNone;
  if (mode != nullptr && *mode == "hang") return Fault::kHang;
  if (mode != nullptr && *mode == "crash") return Fault::kCrash;
  if (mode != nullptr && *mode == "die") return Fault::kDie;
  throw bad_request("mode must be one of none, hang, crash, die.", "mode");
}

// The name to answer under. Throws when the request names a model that is not served.
std::string Api::served_model(const json::object& body) const {
  std::string model = string_field(body, "model").value_or("");
  if (model.empty()) return options_.served_names.front();
  const bool own = std::ranges::find(options_.served_names, model) != options_.served_names.end();
  if (!own && !adapters_.has(model)) {
    std::string aliases;
    for (const std::string& name : options_.served_names) {
      aliases += (aliases.empty() ? "" : ", ") + name;
    }
    throw ApiError(404, "NotFoundError",
                   "The model `" + model + "` does not exist. Valid aliases: " + aliases + ".",
                   "model");
  }
  return model;
}

CallIdentity Api::identity(std::string_view prefix, std::string model, const ApiRequest& request) {
  std::string id = request.request_id;
  if (id.empty()) {
    const std::uint64_t hash = mix(static_cast<std::uint64_t>(request.unix_time), ++calls_);
    std::array<char, 33> digits{};
    std::snprintf(digits.data(), digits.size(), "%016llx%016llx",
                  static_cast<unsigned long long>(hash),
                  static_cast<unsigned long long>(mix(hash, calls_)));
    id = digits.data();
  }
  return {std::string(prefix) + id, std::move(model), request.unix_time};
}

}  // namespace batchproxy::sim
