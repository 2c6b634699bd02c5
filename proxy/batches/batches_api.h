// proxy/batches/batches_api.h - OpenAI's Batches API: create, retrieve, list, cancel.
//
// Threading: confined to the service's thread.
#pragma once

#include <string>
#include <string_view>

#include "proxy/batches/batch_runs.h"
#include "proxy/files/job_store.h"
#include "proxy/files/service_exchange.h"

namespace batchproxy {

class BatchesApi {
 public:
  // Both must outlive it.
  BatchesApi(JobStore& store, BatchRuns& runs) : store_(store), runs_(runs) {}

  // Answers `exchange`, whose path is one of /v1/batches…
  Task<void> serve(ServiceExchange& exchange);

 private:
  Result<std::string> create(std::string_view body, const std::string& owner);
  Result<std::string> list(const ServiceExchange& exchange);
  Result<std::string> retrieve(std::string_view id, const std::string& owner);
  Result<std::string> cancel(std::string_view id, const std::string& owner);
  StoredBatch as_it_is(StoredBatch stored) const;

  JobStore& store_;
  BatchRuns& runs_;
};

}  // namespace batchproxy
