// proxy/jobs/run/manage.cc - see manage.h.
#include "proxy/jobs/run/manage.h"

#include <chrono>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <system_error>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "configs/text/printable.h"
#include "proxy/jobs/ledger.h"
#include "proxy/jobs/run/answer_file.h"
#include "proxy/jobs/run/job_run.h"
#include "proxy/jobs/run/progress.h"
#include "proxy/jobs/run/question_source.h"

namespace batchproxy {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".ledger";

std::string state_words(const LedgerCounts& counts) {
  std::string text =
      fmt::format("{} of {} answered", with_commas(counts.answered), with_commas(counts.all()));
  if (counts.failed > 0) text += fmt::format(", {} failed", with_commas(counts.failed));
  if (counts.waiting > 0) text += fmt::format(", {} wait", with_commas(counts.waiting));
  return text;
}

std::string time_words(std::int64_t ms) {
  if (ms == 0) return "never";
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(static_cast<std::time_t>(ms / 1000)));
}

// "running (process 1234), " while a run has it.
std::string runner_words(const Ledger& ledger) {
  return ledger.user().empty() ? "" : fmt::format("running ({}), ", ledger.user());
}

std::string line_of(const std::string& answers) {
  try {
    Ledger ledger(ledger_of(answers), Database::Access::kLook);
    return runner_words(ledger) + state_words(ledger.counts());
  } catch (const LedgerError& error) {
    return error.what();
  }
}

}  // namespace

void check_job(const std::string& answers) {
  std::error_code none;
  if (fs::is_regular_file(ledger_of(answers), none)) return;
  throw std::runtime_error(fmt::format(
      "there is no {}: name a job by its file of answers; `batchproxy jobs list FOLDER` shows them",
      printable(ledger_of(answers))));
}

std::string list_jobs(const std::string& folder) {
  std::set<std::string> found;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) {
    throw std::runtime_error(fmt::format("cannot list jobs in {}: {}", printable(folder),
                                         error.message()));
  }
  for (const auto& entry : entries) {
    const std::string path = entry.path().string();
    if (path.ends_with(kEnding)) found.insert(path.substr(0, path.size() - kEnding.size()));
  }
  std::string text;
  for (const std::string& answers : found) {
    const std::string name = folder == "." ? fs::path(answers).filename().string() : answers;
    text += fmt::format("{}: {}\n", printable(name), line_of(answers));
  }
  return text;
}

std::string show_job(const std::string& answers) {
  check_job(answers);
  Ledger ledger(ledger_of(answers), Database::Access::kLook);
  const LedgerSummary summary = ledger.summary();
  std::string text = runner_words(ledger) + state_words(summary.counts) + "\n";
  const auto add = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format("  {:<12}{}\n", name, value);
  };
  add("questions", printable(ledger.remembered(kQuestionsWord)));
  add("model", printable(ledger.remembered(kModelWord)));
  add("first asked", time_words(summary.first_asked_ms));
  add("last answer", time_words(summary.last_answered_ms));
  add("tries", with_commas(summary.tries));
  add("tokens", fmt::format("{} of prompts, {} of answers", with_commas(summary.prompt_tokens),
                            with_commas(summary.completion_tokens)));
  for (const auto& [backend, count] : summary.by_backend) {
    if (!backend.empty()) {
      add("by", fmt::format("{}: {}", printable(backend), with_commas(count)));
    }
  }
  for (const auto& [status, count] : summary.failed_status) {
    add("failed",
        fmt::format("{}: {}", status == 0 ? "no answer" : fmt::format("status {}", status),
                    with_commas(count)));
  }
  if (summary.forgotten > 0) {
    add("forgotten", fmt::format("{} that have left the file; `batchproxy jobs prune` drops them",
                                 with_commas(summary.forgotten)));
  }
  return text;
}

std::int64_t export_job(const ExportOptions& options) {
  check_job(options.answers);
  std::error_code none;
  if (fs::exists(options.to, none)) {
    throw UnusableQuestions(printable(options.to) + " exists: take another name, or remove it");
  }
  Ledger ledger(ledger_of(options.answers), Database::Access::kLook);
  AnswerFile file(options.to, options.failed ? ItemState::kFailed : ItemState::kAnswered,
                  options.provenance);
  file.write_anew(ledger, false);
  const LedgerCounts counts = ledger.counts();
  return options.failed ? counts.failed : counts.answered;
}

void delete_job(const std::string& answers) {
  check_job(answers);
  const Ledger held(ledger_of(answers));  // no run has it
  for (const char* ending :
       {".errors", ".proxy.log", ".verify.log", ".ledger-wal", ".ledger-shm", ".ledger"}) {
    std::error_code none;
    fs::remove(answers + ending, none);
  }
}

std::int64_t prune_job(const std::string& answers) {
  check_job(answers);
  return Ledger(ledger_of(answers)).prune();
}

}  // namespace batchproxy
