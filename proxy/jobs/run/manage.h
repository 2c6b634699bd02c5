// proxy/jobs/run/manage.h - looking at jobs and tidying them: what `batchproxy jobs` does but for
// verify.h.
//
// A job is named by its file of answers. Each function throws std::runtime_error, a sentence, when
// there is no such job. A job that a run has is listed, shown and exported as far as it is; what
// changes it throws.
//
// Threading: start-up only.
#pragma once

#include <cstdint>
#include <string>

namespace batchproxy {

// A line for each job in `folder`, in the order of their names; "" where there is none.
std::string list_jobs(const std::string& folder);

// All that a ledger knows of its job as a whole.
std::string show_job(const std::string& answers);

struct ExportOptions {
  std::string answers{};
  std::string to{};
  bool failed = false;  // those that have failed instead of those with an answer
  bool provenance = false;
};
// Writes a file of answers in the order of the questions; the number of its lines.
std::int64_t export_job(const ExportOptions& options);

// Removes the ledger, the list of errors and the proxy's log; the answers stay.
void delete_job(const std::string& answers);

// Forgets answers to questions that have left the file; how many.
std::int64_t prune_job(const std::string& answers);

// Throws if these answers have no ledger.
void check_job(const std::string& answers);

}  // namespace batchproxy
