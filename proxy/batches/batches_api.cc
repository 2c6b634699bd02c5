// proxy/batches/batches_api.cc - see batches_api.h.
#include "proxy/batches/batches_api.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "proxy/batches/batch_request.h"
#include "proxy/files/files_api.h"
#include "proxy/files/wall_clock.h"

namespace batchproxy {

namespace {

constexpr std::string_view kBatches = "/v1/batches";
constexpr std::string_view kCancel = "/cancel";
constexpr std::size_t kMaxBody = 64 * 1024;
constexpr std::int64_t kUsualPage = 20;
constexpr std::int64_t kMostOfPage = 100;

}  // namespace

Task<void> BatchesApi::serve(ServiceExchange& exchange) {
  const std::string rest(exchange.path().substr(kBatches.size()));
  const bool posted = exchange.method() == "POST";
  Result<std::string> body = co_await exchange.read_all(kMaxBody);
  Result<std::string> answer = std::string();
  if (!body) {
    answer = body.error();
  } else if (rest.empty()) {
    answer = posted ? create(*body, exchange.owner()) : list(exchange);
  } else if (posted) {
    answer = cancel(std::string_view(rest).substr(1, rest.size() - 1 - kCancel.size()),
                    exchange.owner());
  } else {
    answer = retrieve(std::string_view(rest).substr(1), exchange.owner());
  }
  if (answer) {
    co_await exchange.answer(*answer);
  } else {
    co_await exchange.reject(answer.error());
  }
}

Result<std::string> BatchesApi::create(std::string_view body, const std::string& owner) {
  Result<StoredBatch> wanted = read_batch_request(body, seconds_now());
  if (!wanted) return wanted.error();
  StoredBatch batch = *std::move(wanted);
  const auto file = store_.file(batch.input_file, owner);
  if (!file) {
    Error error = no_such("file", batch.input_file);
    error.param = "input_file_id";
    return error;
  }
  if (file->purpose != "batch") {
    return Error{
        Errc::kInvalidRequest,
        fmt::format("The purpose of file '{}' is {}, and must be batch.", file->id, file->purpose),
        "input_file_id"};
  }
  batch.id = new_id("batch_");
  batch.owner = owner;
  store_.add_batch(batch);
  runs_.add(batch);
  return json_text_of(batch);
}

// While a batch runs, its run knows more than the store.
StoredBatch BatchesApi::as_it_is(StoredBatch stored) const {
  if (describe(stored.status).over) return stored;
  return runs_.find(stored.id).value_or(std::move(stored));
}

Result<std::string> BatchesApi::list(const ServiceExchange& exchange) {
  const auto wanted = page_wanted(exchange.target(), kUsualPage, kMostOfPage);
  if (!wanted) return wanted.error();
  auto page = store_.batches(exchange.owner(), *wanted);
  if (!page) return no_such("batch", wanted->after);
  for (StoredBatch& batch : page->items) batch = as_it_is(std::move(batch));
  return json_text_of(*page);
}

Result<std::string> BatchesApi::retrieve(std::string_view id, const std::string& owner) {
  auto batch = store_.batch(id, owner);
  if (!batch) return no_such("batch", id);
  return json_text_of(as_it_is(*std::move(batch)));
}

Result<std::string> BatchesApi::cancel(std::string_view id, const std::string& owner) {
  const auto batch = store_.batch(id, owner);
  if (!batch) return no_such("batch", id);
  if (describe(batch->status).over || !runs_.cancel(id)) {
    return Error{Errc::kInvalidRequest,
                 fmt::format("The batch '{}' is {} and cannot be cancelled.", id,
                             describe(batch->status).word),
                 "id"};
  }
  return retrieve(id, owner);
}

}  // namespace batchproxy
