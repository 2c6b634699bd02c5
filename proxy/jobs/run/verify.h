// proxy/jobs/run/verify.h - asks a sample of a job's questions again, and counts the answers that
// are another now.
//
// An engine's answers depend on the batch that they were computed in, on its version and flags. So
// a sample says how far the answers of a job can be had again. Nothing in the ledger changes.
//
// Threading: start-up only; takes the thread until all are answered.
#pragma once

#include <cstdint>
#include <string>

#include "backends/questions/question_file.h"
#include "proxy/jobs/run/job_proxy.h"
#include "proxy/jobs/run_core.h"

namespace batchproxy {

struct VerifyOptions {
  std::string answers{};
  std::string questions{};      // "": those that the run has read
  double sample = 0.01;         // share of the answers
  std::uint64_t seed = 1;       // another one takes others
  QuestionDefaults defaults{};  // as they were given to the run
  RunLimits limits{};
  ProxyChoice proxy{};
};

struct VerifyResult {
  std::int64_t asked = 0;
  std::int64_t same = 0;
  std::int64_t other = 0;
  std::int64_t unanswered = 0;
  std::int64_t unknown = 0;  // lines that are no questions of this ledger
  std::string examples{};    // of others, a line each, ten at most
};

// 0: all of the sample say the same; 5: some say something else; 1: some could not be asked, and
// the others say the same.
int exit_code_of(const VerifyResult& result);

// Throws std::runtime_error, a sentence.
VerifyResult verify_job(const VerifyOptions& options);

// What an answer says, without what differs each time, such as its id: the texts or messages of its
// choices, or its embeddings.
std::string said_in(const std::string& body);

// Whether a sample of this share has this key; the same ones each time.
bool is_in_sample(const std::string& key, double share, std::uint64_t seed);

}  // namespace batchproxy
