// proxy/batches/batch_request.h - the body of POST /v1/batches as a batch to be made.
//
// Threading: pure functions, any thread.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "batcher/base/error.h"
#include "batcher/base/time.h"
#include "proxy/files/stored_batch.h"

namespace batchproxy {

// Where a batch's requests may go.
inline constexpr std::array<std::string_view, 3> kBatchEndpoints = {
    "/v1/chat/completions", "/v1/completions", "/v1/embeddings"};

// "24h", "90s", "30m" or "7d", of thirty days at most; nothing for anything else.
std::optional<std::chrono::seconds> window_of(std::string_view text);

// Its endpoint, input file, window, metadata, and the times that follow from `now` (seconds since
// 1970).
Result<StoredBatch> read_batch_request(std::string_view body, std::int64_t now);

}  // namespace batchproxy
