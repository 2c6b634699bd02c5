// proxy/batches/batch_request.cc - see batch_request.h.
#include "proxy/batches/batch_request.h"

#include <algorithm>
#include <chrono>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "configs/text/number.h"

namespace batchproxy {

namespace json = boost::json;

namespace {

// As OpenAI's.
constexpr std::size_t kMostMetadata = 16;
constexpr std::size_t kLongestKey = 64;
constexpr std::size_t kLongestValue = 512;

Error invalid(std::string_view param, std::string why) {
  return {Errc::kInvalidRequest, fmt::format("{} {}.", param, why), std::string(param)};
}

std::string_view text_in(const json::object& body, std::string_view name) {
  const json::value* value = body.if_contains(json::string_view(name.data(), name.size()));
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(text->data(), text->size());
}

bool is_metadata(const json::value& value) {
  const json::object* pairs = value.if_object();
  if (pairs == nullptr || pairs->size() > kMostMetadata) return false;
  return std::ranges::all_of(*pairs, [](const json::key_value_pair& pair) {
    const json::string* text = pair.value().if_string();
    return pair.key().size() <= kLongestKey && text != nullptr && text->size() <= kLongestValue;
  });
}

}  // namespace

std::optional<std::chrono::seconds> window_of(std::string_view text) {
  using std::chrono::hours;
  if (text.size() < 2) return std::nullopt;
  const auto number = number_in<int>(text.substr(0, text.size() - 1));
  if (!number || *number < 1 || *number > 100'000) return std::nullopt;
  std::chrono::seconds window{};
  switch (text.back()) {
    case 's':
      window = std::chrono::seconds(*number);
      break;
    case 'm':
      window = std::chrono::minutes(*number);
      break;
    case 'h':
      window = hours(*number);
      break;
    case 'd':
      window = 24 * hours(*number);
      break;
    default:
      return std::nullopt;
  }
  if (window > 30 * hours(24)) return std::nullopt;
  return window;
}

Result<StoredBatch> read_batch_request(std::string_view text, std::int64_t now) {
  boost::system::error_code error;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error || !value.is_object()) {
    return Error{Errc::kInvalidJson, "The request body is not a JSON object."};
  }
  const json::object& body = value.get_object();
  StoredBatch batch;
  batch.input_file = text_in(body, "input_file_id");
  if (batch.input_file.empty()) return invalid("input_file_id", "must be the id of a file");
  batch.endpoint = text_in(body, "endpoint");
  if (std::ranges::find(kBatchEndpoints, batch.endpoint) == kBatchEndpoints.end()) {
    return invalid("endpoint", fmt::format("must be one of {}", fmt::join(kBatchEndpoints, ", ")));
  }
  batch.window = text_in(body, "completion_window");
  const auto window = window_of(batch.window);
  if (!window) {
    return invalid("completion_window",
                   "must be a time such as 24h, 30m or 7d (s, m, h or d), of 30 days at most");
  }
  if (const json::value* metadata = body.if_contains("metadata");
      metadata != nullptr && !metadata->is_null()) {
    if (!is_metadata(*metadata)) {
      return invalid("metadata",
                     "must be an object of at most 16 texts, with keys of at most 64 "
                     "bytes and values of at most 512");
    }
    batch.metadata = json::serialize(*metadata);
  }
  batch.created_at = now;
  batch.expires_at = now + window->count();
  return batch;
}

}  // namespace batchproxy
