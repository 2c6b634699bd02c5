// proxy/files/stored_batch.h - StoredBatch: a batch as the store keeps it and as its client sees
// it.
//
// Threading: values, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "batcher/base/enum_table.h"
#include "proxy/files/query.h"

namespace batchproxy {

// The words are in stores: never change one.
enum class BatchStatus {
  kValidating,
  kInProgress,
  kFinalizing,
  kCompleted,
  kFailed,
  kExpired,
  kCancelling,
  kCancelled,

  kCount
};

struct BatchStatusTraits {
  BatchStatus id{};
  std::string_view word{};
  bool over = false;  // nothing will be done for it any more
};
const BatchStatusTraits& describe(BatchStatus status);
BatchStatus batch_status_of(std::string_view word);  // kFailed for no such word

struct BatchCounts {
  std::int64_t total = 0;
  std::int64_t completed = 0;
  std::int64_t failed = 0;
};

// Times are seconds since 1970; 0: that has not happened.
struct StoredBatch {
  std::string id{};
  std::string owner{};
  std::string endpoint{};    // "/v1/completions"
  std::string input_file{};  // ids of files; empty: none
  std::string output_file{};
  std::string error_file{};
  std::string window{};    // "24h"
  std::string metadata{};  // JSON; empty: none
  std::string errors{};    // JSON of a list: why it has failed
  BatchStatus status = BatchStatus::kValidating;
  // Where it goes when it is finalized.
  BatchStatus outcome = BatchStatus::kCompleted;
  BatchCounts counts{};
  std::int64_t created_at = 0;
  std::int64_t in_progress_at = 0;
  std::int64_t expires_at = 0;
  std::int64_t finalizing_at = 0;
  std::int64_t completed_at = 0;
  std::int64_t failed_at = 0;
  std::int64_t expired_at = 0;
  std::int64_t cancelling_at = 0;
  std::int64_t cancelled_at = 0;
};

// As OpenAI shows it.
std::string json_text_of(const StoredBatch& batch);
std::string json_text_of(const Page<StoredBatch>& page);

}  // namespace batchproxy
