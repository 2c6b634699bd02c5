// proxy/batches/files_api.h - OpenAI's Files API over a JobStore: upload, list, retrieve, content,
// delete.
//
// Threading: confined to the service's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "proxy/batches/job_store.h"
#include "proxy/batches/service_exchange.h"

namespace batchproxy {

// As OpenAI's for batches.
inline constexpr std::int64_t kMaxFileBytes = std::int64_t{200} << 20;

class FilesApi {
 public:
  // `store` must outlive it. `max_bytes`: of all files together.
  FilesApi(JobStore& store, std::int64_t max_bytes) : store_(store), max_bytes_(max_bytes) {}

  // Answers `exchange`, whose path is one of /v1/files…
  Task<void> serve(ServiceExchange& exchange);

 private:
  Result<std::string> list(const ServiceExchange& exchange);
  Result<std::string> retrieve(std::string_view id, const std::string& owner);
  Result<std::string> remove(std::string_view id, const std::string& owner);
  Task<void> upload(ServiceExchange& exchange);
  Task<void> send_content(ServiceExchange& exchange, std::string_view id);

  JobStore& store_;
  const std::int64_t max_bytes_;
  std::int64_t arriving_ = 0;  // bytes of uploads under way
};

// The error of an id that is not there, or not its owner's.
Error no_such(std::string_view what, std::string_view id);

}  // namespace batchproxy
