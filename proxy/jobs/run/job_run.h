// proxy/jobs/run/job_run.h - a file of questions in, a file of answers out: the command `run`.
//
// Beside ANSWERS lie ANSWERS.ledger, which is the truth, ANSWERS.errors when questions have
// failed, and ANSWERS.proxy.log where the run started a proxy of its own. A run that was killed in
// any way goes on when it is called again: the ledger knows what has an answer.
//
// Threading: start-up only; takes the thread until the run is over.
#pragma once

#include <string>
#include <string_view>

#include "backends/questions/question_file.h"
#include "proxy/jobs/run/job_proxy.h"
#include "proxy/jobs/run_core.h"

namespace batchproxy {

struct RunOptions {
  std::string questions{};  // "-": standard input
  std::string answers{};    // "-": standard output
  std::string job{};        // its name: that of its answers, or of its ledger without the ending
  QuestionDefaults defaults{};
  RunLimits limits{};
  bool ordered = false;
  bool retry_errors = false;
  bool drop_changed = false;  // answers to questions that are others now
  bool dry_run = false;
  bool provenance = false;
  ProxyChoice proxy{};
};

// Exit codes of the command, besides 0: all have an answer.
inline constexpr int kExitGaveUp = 1;
inline constexpr int kExitUnusable = 2;
inline constexpr int kExitSomeFailed = 5;
inline constexpr int kExitStopped = 130;

// Says on stderr how it goes, and returns the exit code. Throws std::runtime_error, a sentence,
// when the disk or the proxy does not let it go on.
int run_job(const RunOptions& options);

// What a run remembers in its ledger: the model that it asked where lines name none, and the path
// of the questions.
inline constexpr std::string_view kModelWord = "model";
inline constexpr std::string_view kQuestionsWord = "questions";

// The place of the ledger of this job.
std::string ledger_of(const std::string& job);

}  // namespace batchproxy
