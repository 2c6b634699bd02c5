// backends/sim/api/openapi.cc - see openapi.h.
#include "backends/sim/api/openapi.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace batchproxy::sim {
namespace {

namespace json = boost::json;
using Names = std::span<const std::string_view>;

constexpr std::string_view kCommon[] = {"model",
                                        "n",
                                        "seed",
                                        "stop",
                                        "temperature",
                                        "top_p",
                                        "top_k",
                                        "min_p",
                                        "max_tokens",
                                        "logprobs",
                                        "presence_penalty",
                                        "frequency_penalty",
                                        "priority",
                                        "cache_salt",
                                        "repetition_penalty"};
// Not listed for several conversations in one call, which take them nevertheless.
constexpr std::string_view kOfOne[] = {"stream", "stream_options", "min_tokens", "ignore_eos"};
constexpr std::string_view kCompletion[] = {"prompt", "echo", "suffix"};
constexpr std::string_view kChat[] = {"messages", "max_completion_tokens", "top_logprobs"};

// The route, and the name of its body's schema.
constexpr std::pair<std::string_view, std::string_view> kSchemas[] = {
    {"/v1/completions", "CompletionRequest"},
    {"/v1/chat/completions", "ChatCompletionRequest"},
    {"/v1/chat/completions/batch", "BatchChatCompletionRequest"}};

json::object schema(std::string_view title, bool token_ids) {
  json::object properties;
  const auto add = [&](Names names) {
    for (const std::string_view name : names) properties[name] = json::object();
  };
  add(title == "CompletionRequest" ? Names(kCompletion) : Names(kChat));
  add(kCommon);
  if (title != "BatchChatCompletionRequest") add(kOfOne);
  if (token_ids) properties["return_token_ids"] = json::object();
  return {{"properties", std::move(properties)},
          {"additionalProperties", true},
          {"type", "object"},
          {"title", title}};
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

json::object operation(std::string_view path) {
  for (const auto& [known, title] : kSchemas) {
    if (known != path) continue;
    const json::object body{{"$ref", "#/components/schemas/" + std::string(title)}};
    return {{"requestBody", {{"content", {{"application/json", {{"schema", body}}}}}}}};
  }
  return {};
}

}  // namespace

std::string openapi_page(std::span<const RouteName> routes, bool token_ids) {
  json::object paths;
  for (const RouteName& route : routes) {
    paths[route.path] = json::object{{lower(route.method), operation(route.path)}};
  }
  json::object schemas;
  for (const auto& [path, title] : kSchemas) schemas[title] = schema(title, token_ids);
  return json::serialize(
      json::object{{"openapi", "3.1.0"},
                   {"info", {{"title", "Simulated vLLM"}, {"version", BATCHPROXY_VERSION}}},
                   {"paths", std::move(paths)},
                   {"components", {{"schemas", std::move(schemas)}}}});
}

}  // namespace batchproxy::sim
