// backends/sim/api/pooling_request.cc - see pooling_request.h.
#include "backends/sim/api/pooling_request.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "backends/sim/api/request_fields.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

// Most names for the same two things came with other servers' clients.
constexpr std::pair<std::string_view, std::string_view> kPairNames[] = {
    {"queries", "documents"}, {"queries", "items"}, {"data_1", "data_2"}, {"text_1", "text_2"}};

std::vector<Prompt> texts(const json::object& body, std::string_view name) {
  required_field(body, name);
  std::vector<Prompt> prompts;
  for (std::string& text : strings_field(body, name)) {
    prompts.push_back(text_prompt(std::move(text)));
  }
  return prompts;
}

void read_input(PoolingRequest& request, const json::object& body) {
  if (const json::value* messages = field(body, "messages")) {
    request.prompts = {chat_prompt(*messages)};
  } else {
    request.prompts = prompt_list(required_field(body, "input"), "input");
  }
  const std::string format = string_field(body, "encoding_format").value_or("float");
  if (format != "float" && format != "base64") {
    throw schema_error({"literal_error", "encoding_format", "Input should be float or base64",
                        json::value(format)});
  }
  request.base64 = format == "base64";
  if (const auto dimensions = count_field(body, "dimensions", 1)) {
    if (dimensions->value > kEmbeddingSize) {
      throw bad_value("dimensions must be at most " + std::to_string(kEmbeddingSize) + ", got " +
                          dimensions->shown + ".",
                      "dimensions", dimensions->shown);
    }
    request.dimensions = static_cast<int>(dimensions->value);
  }
}

void read_pairs(PoolingRequest& request, const json::object& body, std::string_view first,
                std::string_view second) {
  request.queries = texts(body, first);
  request.prompts = texts(body, second);
  if (request.queries.empty()) throw bad_request("At least one text element must be given");
  if (request.prompts.empty()) throw bad_request("At least one text_pair element must be given");
  if (request.queries.size() == 1) {
    request.queries.resize(request.prompts.size(), Prompt(request.queries.front()));
  }
  if (request.queries.size() != request.prompts.size()) {
    throw bad_request("Input lengths must be either 1:1, 1:N or N:N");
  }
}

void read_scored(PoolingRequest& request, const json::object& body) {
  const auto* names = std::ranges::find_if(kPairNames, [&](const auto& pair) {
    return field(body, pair.first) != nullptr && field(body, pair.second) != nullptr;
  });
  if (names == std::end(kPairNames)) names = std::begin(kPairNames);
  read_pairs(request, body, names->first, names->second);
}

void read_ranked(PoolingRequest& request, const json::object& body) {
  read_pairs(request, body, "query", "documents");
  const auto top_n = integer_field(body, "top_n");
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  request.top_n = top_n ? static_cast<int>(std::clamp<std::int64_t>(top_n->value, 0, kMost)) : 0;
}

}  // namespace

PoolingRequest parse_pooling(PoolingTask task, const json::object& body, int max_model_len) {
  PoolingRequest request;
  request.task = task;
  if (task == PoolingTask::kScore) {
    read_scored(request, body);
  } else if (task == PoolingTask::kRerank) {
    read_ranked(request, body);
  } else {
    read_input(request, body);
  }
  check_lengths(request.prompts, false, max_model_len);
  check_lengths(request.queries, false, max_model_len);
  return request;
}

}  // namespace batchproxy::sim
