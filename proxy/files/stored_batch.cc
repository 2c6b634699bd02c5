// proxy/files/stored_batch.cc - see stored_batch.h.
#include "proxy/files/stored_batch.h"

#include <algorithm>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace batchproxy {

namespace json = boost::json;

namespace {

constexpr bool kOver = true;

constexpr EnumTable<BatchStatusTraits> kStatuses({
    {BatchStatus::kValidating, "validating"},
    {BatchStatus::kInProgress, "in_progress"},
    {BatchStatus::kFinalizing, "finalizing"},
    {BatchStatus::kCompleted, "completed", kOver},
    {BatchStatus::kFailed, "failed", kOver},
    {BatchStatus::kExpired, "expired", kOver},
    {BatchStatus::kCancelling, "cancelling"},
    {BatchStatus::kCancelled, "cancelled", kOver},
});

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

json::value time_or_null(std::int64_t time) {
  return time == 0 ? json::value(nullptr) : json::value(time);
}

json::object json_of(const StoredBatch& batch) {
  json::object shown{{"id", batch.id},
                     {"object", "batch"},
                     {"endpoint", batch.endpoint},
                     {"errors", nullptr},
                     {"input_file_id", batch.input_file},
                     {"completion_window", batch.window},
                     {"status", describe(batch.status).word}};
  if (!batch.errors.empty()) {
    shown["errors"] = json::object{{"object", "list"}, {"data", json::parse(batch.errors)}};
  }
  shown["output_file_id"] = text_or_null(batch.output_file);
  shown["error_file_id"] = text_or_null(batch.error_file);
  shown["created_at"] = batch.created_at;
  shown["in_progress_at"] = time_or_null(batch.in_progress_at);
  shown["expires_at"] = time_or_null(batch.expires_at);
  shown["finalizing_at"] = time_or_null(batch.finalizing_at);
  shown["completed_at"] = time_or_null(batch.completed_at);
  shown["failed_at"] = time_or_null(batch.failed_at);
  shown["expired_at"] = time_or_null(batch.expired_at);
  shown["cancelling_at"] = time_or_null(batch.cancelling_at);
  shown["cancelled_at"] = time_or_null(batch.cancelled_at);
  shown["request_counts"] = json::object{{"total", batch.counts.total},
                                         {"completed", batch.counts.completed},
                                         {"failed", batch.counts.failed}};
  shown["metadata"] = batch.metadata.empty() ? json::value(nullptr) : json::parse(batch.metadata);
  return shown;
}

}  // namespace

const BatchStatusTraits& describe(BatchStatus status) {
  return kStatuses[status];
}

BatchStatus batch_status_of(std::string_view word) {
  const auto row = std::ranges::find(kStatuses, word, &BatchStatusTraits::word);
  return row == kStatuses.end() ? BatchStatus::kFailed : row->id;
}

std::string json_text_of(const StoredBatch& batch) {
  return json::serialize(json_of(batch));
}

std::string json_text_of(const Page<StoredBatch>& page) {
  json::array data;
  for (const StoredBatch& batch : page.items) data.emplace_back(json_of(batch));
  const bool none = page.items.empty();
  const json::object list{
      {"object", "list"},
      {"data", std::move(data)},
      {"first_id", none ? json::value(nullptr) : json::value(page.items.front().id)},
      {"last_id", none ? json::value(nullptr) : json::value(page.items.back().id)},
      {"has_more", page.has_more}};
  return json::serialize(list);
}

}  // namespace batchproxy
