// backends/sim/api/pooling_call.cc - vLLM's response shapes of the pooling endpoints.
#include "backends/sim/api/pooling_call.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <boost/json/serialize.hpp>

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

json::value encoded(const std::vector<float>& vector, bool as_base64) {
  if (as_base64) return json::value(base64(vector));
  return json::array(vector.begin(), vector.end());
}

}  // namespace

std::string_view id_prefix(PoolingTask task) {
  switch (task) {
    case PoolingTask::kEmbed:
      return "embd-";
    case PoolingTask::kPool:
      return "pool-";
    case PoolingTask::kClassify:
      return "classify-";
    case PoolingTask::kScore:
    case PoolingTask::kRerank:
      break;
  }
  return "score-";
}

PoolingCall::PoolingCall(PoolingRequest request, CallIdentity identity)
    : request_(std::move(request)), identity_(std::move(identity)) {}

std::vector<Work> PoolingCall::work() const {
  std::vector<Work> items;
  for (std::size_t index = 0; index < request_.prompts.size(); ++index) {
    const std::vector<Token> tokens = sequence(index);
    // One pass over the prompt ends the request: it has no second token.
    items.push_back({static_cast<int>(tokens.size()), 1, block_hashes(tokens)});
  }
  return items;
}

RequestTally PoolingCall::tally() const {
  return {.stop = request_.prompts.size()};
}

std::string PoolingCall::body() const {
  const std::size_t tokens = prompt_tokens();
  json::object body{{"id", identity_.id}};
  if (request_.task == PoolingTask::kRerank) {
    body["model"] = identity_.model;
    body["usage"] = {{"prompt_tokens", tokens}, {"total_tokens", tokens}};
    body["results"] = ranking();
    return json::serialize(body);
  }
  json::array data;
  for (std::size_t index = 0; index < request_.prompts.size(); ++index) {
    data.emplace_back(data_of(index));
  }
  body["object"] = "list";
  body["created"] = identity_.created;
  body["model"] = identity_.model;
  body["data"] = std::move(data);
  body["usage"] = {{"prompt_tokens", tokens},
                   {"total_tokens", tokens},
                   {"completion_tokens", 0},
                   {"prompt_tokens_details", nullptr},
                   {"completion_tokens_details", nullptr}};
  return json::serialize(body);
}

std::vector<Token> PoolingCall::sequence(std::size_t index) const {
  std::vector<Token> tokens;
  if (!request_.queries.empty()) tokens = request_.queries[index].tokens;
  const std::vector<Token>& prompt = request_.prompts[index].tokens;
  tokens.insert(tokens.end(), prompt.begin(), prompt.end());
  return tokens;
}

double PoolingCall::score(std::size_t index) const {
  return similarity(request_.queries[index].tokens, request_.prompts[index].tokens);
}

std::size_t PoolingCall::prompt_tokens() const {
  std::size_t tokens = 0;
  for (const Prompt& prompt : request_.prompts) tokens += prompt.tokens.size();
  for (const Prompt& query : request_.queries) tokens += query.tokens.size();
  return tokens;
}

json::object PoolingCall::data_of(std::size_t index) const {
  json::object data{{"index", index}};
  if (request_.task == PoolingTask::kScore) {
    data["object"] = "score";
    data["score"] = score(index);
    return data;
  }
  const std::vector<float> vector = embed(request_.prompts[index].tokens, request_.dimensions);
  if (request_.task == PoolingTask::kEmbed) {
    data["object"] = "embedding";
    data["embedding"] = encoded(vector, request_.base64);
  } else if (request_.task == PoolingTask::kPool) {
    data["object"] = "pooling";
    data["data"] = encoded(vector, request_.base64);
  } else {
    // Two classes, by the sign of one component.
    const double second = 1 / (1 + std::exp(-8.0 * vector.front()));
    data["label"] = second > 0.5 ? "LABEL_1" : "LABEL_0";
    data["probs"] = json::array{1 - second, second};
    data["num_classes"] = 2;
  }
  return data;
}

json::array PoolingCall::ranking() const {
  std::vector<std::size_t> order(request_.prompts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<double> scores;
  for (const std::size_t index : order) scores.push_back(score(index));
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  const auto top_n = static_cast<std::size_t>(request_.top_n);
  if (top_n > 0 && top_n < order.size()) order.resize(top_n);
  json::array results;
  for (const std::size_t index : order) {
    results.push_back(json::object{
        {"index", index},
        {"document", {{"text", request_.prompts[index].text}, {"multi_modal", nullptr}}},
        {"relevance_score", scores[index]}});
  }
  return results;
}

}  // namespace batchproxy::sim
