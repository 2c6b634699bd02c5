// backends/sim/api.cc - routes, access and the small endpoints.
#include "backends/sim/api.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "backends/sim/api_request.h"
#include "backends/sim/hash.h"
#include "backends/sim/metrics_text.h"

namespace batchproxy {
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

bool has_marker(const GenerationRequest& request, std::string_view marker) {
  return std::ranges::any_of(request.prompts, [marker](const Prompt& prompt) {
    return prompt.text.find(marker) != std::string::npos;
  });
}

}  // namespace

const std::vector<Api::Route>& Api::route_table() {
  static const std::vector<Route> routes = {
      {"POST", "/v1/completions", &Api::completions},
      {"POST", "/v1/chat/completions", &Api::chat},
      {"POST", "/v1/chat/completions/batch", &Api::chat_batch},
      {"POST", "/tokenize", &Api::tokenize_text},
      {"POST", "/detokenize", &Api::detokenize_ids},
      {"GET", "/tokenizer_info", &Api::tokenizer_info},
      {"GET", "/v1/models", &Api::models},
      {"GET", "/health", &Api::health},
      {"GET", "/version", &Api::version},
      {"GET", "/metrics", &Api::metrics},
      {"GET", "/openapi.json", &Api::openapi},
      {"POST", "/sim/fault", &Api::fault},
  };
  return routes;
}

Api::Api(ApiOptions options, const ServerModel& server)
    : options_(std::move(options)), server_(server) {}

std::vector<std::string> Api::routes() {
  std::vector<std::string> names;
  for (const Route& route : route_table()) {
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
  bool path_exists = false;
  for (const Route& route : route_table()) {
    if (route.path != path) continue;
    path_exists = true;
    if (route.method == request.method) return (this->*route.handler)(request);
  }
  return path_exists ? detail_reply(405, "Method Not Allowed") : detail_reply(404, "Not Found");
}

bool Api::may_call(std::string_view path, const ApiRequest& request) const {
  // As in vLLM, keys guard /v1 and nothing else.
  if (options_.api_keys.empty() || !path.starts_with("/v1")) return true;
  return std::ranges::any_of(options_.api_keys, [&](const std::string& key) {
    return request.authorization == "Bearer " + key;
  });
}

void Api::on_answered(const GenerationCall& call) {
  for (const Answer& answer : call.answers()) {
    ++(answer.finish_reason == FinishReason::kStop ? tally_.stop : tally_.length);
  }
}

void Api::on_aborted(const GenerationCall& call) {
  tally_.abort += call.answers().size();
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
  if (!request.content_type.empty() && !request.content_type.starts_with("application/json")) {
    throw bad_request("Unsupported Media Type: Only 'application/json' is allowed");
  }
  const json::object body = parse_object(request.body);
  const std::string model = served_model(body);
  GenerationRequest parsed = parse_generation(endpoint, body, options_.max_model_len);
  if (has_marker(parsed, "@@crash@@")) return Fault::kCrash;
  if (has_marker(parsed, "@@500@@")) {
    throw ApiError(500, "InternalServerError", "Simulated failure: the prompt contains @@500@@.");
  }
  if (has_marker(parsed, "@@400@@")) {
    throw bad_request("Simulated refusal: the prompt contains @@400@@.", "prompt");
  }
  CallIdentity identity{call_id(parsed.chat ? "chatcmpl-" : "cmpl-", request), model,
                        request.unix_time};
  return std::make_unique<GenerationCall>(std::move(parsed), std::move(identity),
                                          options_.answer_mode, options_.max_model_len);
}

ApiOutcome Api::tokenize_text(const ApiRequest& request) {
  const json::object body = parse_object(request.body);
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
  const json::object body = parse_object(request.body);
  served_model(body);
  const json::value* tokens = body.if_contains("tokens");
  if (tokens == nullptr) throw schema_error("tokens: Field required");
  return json_reply({{"prompt", valid_utf8(detokenize(parse_token_ids(*tokens)))}});
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
                                {"max_model_len", options_.max_model_len}});
  }
  return json_reply({{"object", "list"}, {"data", std::move(data)}});
}

ApiOutcome Api::health(const ApiRequest&) {
  return ApiReply{};
}

ApiOutcome Api::version(const ApiRequest&) {
  return json_reply({{"version", "simulated " BATCHPROXY_VERSION}});
}

ApiOutcome Api::metrics(const ApiRequest&) {
  return ApiReply{200, "text/plain; version=0.0.4; charset=utf-8",
                  metrics_text(server_, tally_, options_)};
}

// Just enough to see which endpoints exist.
ApiOutcome Api::openapi(const ApiRequest&) {
  json::object paths;
  for (const Route& route : route_table()) {
    paths[route.path] = json::object{{route.method == "GET" ? "get" : "post", json::object()}};
  }
  return json_reply({{"openapi", "3.1.0"}, {"paths", std::move(paths)}});
}

ApiOutcome Api::fault(const ApiRequest& request) {
  const json::object body = parse_object(request.body);
  const json::value* mode = body.if_contains("mode");
  if (mode != nullptr && *mode == "none") return Fault::kNone;
  if (mode != nullptr && *mode == "hang") return Fault::kHang;
  if (mode != nullptr && *mode == "crash") return Fault::kCrash;
  throw bad_request("mode must be one of none, hang, crash.", "mode");
}

// The name to answer under. Throws when the request names a model that is not served.
std::string Api::served_model(const json::object& body) const {
  std::string model = parse_model(body);
  if (model.empty()) return options_.served_names.front();
  if (std::ranges::find(options_.served_names, model) == options_.served_names.end()) {
    throw ApiError(404, "NotFoundError", "The model `" + model + "` does not exist.", "model");
  }
  return model;
}

std::string Api::call_id(std::string_view prefix, const ApiRequest& request) {
  if (!request.request_id.empty()) return std::string(prefix) + request.request_id;
  const std::uint64_t hash = mix(static_cast<std::uint64_t>(request.unix_time), ++calls_);
  std::array<char, 33> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx%016llx",
                static_cast<unsigned long long>(hash),
                static_cast<unsigned long long>(mix(hash, calls_)));
  return std::string(prefix) + digits.data();
}

}  // namespace batchproxy
