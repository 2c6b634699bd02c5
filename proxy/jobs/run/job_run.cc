// proxy/jobs/run/job_run.cc - see job_run.h.
#include "proxy/jobs/run/job_run.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "configs/text/printable.h"
#include "proxy/jobs/asker.h"
#include "proxy/jobs/ledger.h"
#include "proxy/jobs/run/answer_file.h"
#include "proxy/jobs/run/progress.h"
#include "proxy/jobs/run/question_source.h"

namespace batchproxy {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, IoExecutor>;

void say(const std::string& line) {
  std::cerr << line << '\n';
}

// The answers of somebody else's program are not ours to replace.
void check_places(const RunOptions& options) {
  std::error_code none;
  if (options.questions != "-" && fs::equivalent(options.questions, options.answers, none)) {
    throw UnusableQuestions("the questions and the answers are one file: " +
                            printable(options.answers));
  }
  if (fs::exists(options.answers, none) && fs::file_size(options.answers, none) > 0 &&
      !fs::exists(ledger_of(options.answers), none)) {
    throw UnusableQuestions(fmt::format(
        "{} exists, and no ledger beside it says that it is a run's: take another name, or move it "
        "away",
        printable(options.answers)));
  }
}

std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

class JobRun {
 public:
  explicit JobRun(const RunOptions& options)
      : options_(options),
        source_(options.questions, options.defaults, folder_of(options.answers)),
        ledger_(ledger_of(options.answers)),
        answers_(options.answers, ItemState::kAnswered, options.provenance),
        errors_(options.answers + ".errors", ItemState::kFailed, options.provenance),
        signals_(io_, SIGINT, SIGTERM, SIGHUP),
        tick_(io_.get_executor()),
        proxy_(io_, options.proxy, options.answers + ".proxy.log") {}

  int run();

 private:
  QuestionSource::Found read_questions();
  void write_files();
  bool read(std::vector<Question>& into, std::size_t at_most);
  Task<void> main();
  Task<void> find_model();
  Task<void> watch();
  void await_signals();
  void on_signal();
  void record(const std::vector<ItemOutcome>& outcomes);
  void refuse_without_key(const std::vector<ItemOutcome>& outcomes) const;
  int report();

  const RunOptions& options_;
  QuestionSource source_;
  Ledger ledger_;
  AnswerFile answers_;
  AnswerFile errors_;
  asio::io_context io_{1};
  asio::signal_set signals_;
  Timer tick_;
  JobProxy proxy_;
  std::string model_;
  bool lacks_model_ = false;
  std::optional<Asker> asker_;
  RunProgress progress_;
  int interrupts_ = 0;
};

QuestionSource::Found JobRun::read_questions() {
  Ledger::Reading reading(ledger_);
  QuestionSource::Found found = source_.note_all(reading);
  if (reading.lost() > 0 && !options_.drop_changed) {
    throw UnusableQuestions(fmt::format(
        "{} questions that have an answer are others now, by the file or by flags such as "
        "--temperature, and their answers would be lost: take them back, take another file for the "
        "answers, or give --drop-changed",
        with_commas(reading.lost())));
  }
  if (options_.retry_errors) reading.retry_failed();
  reading.commit();
  lacks_model_ = found.lacks_model;
  std::error_code none;
  if (options_.questions != "-") {
    ledger_.remember(kQuestionsWord, fs::absolute(options_.questions, none).string());
  }
  return found;
}

void JobRun::write_files() {
  answers_.write_anew(ledger_, options_.ordered);
  errors_.write_anew(ledger_, false);
}

int JobRun::run() {
  const QuestionSource::Found found = read_questions();
  progress_.begin(ledger_.counts());
  const LedgerCounts& counts = progress_.counts();
  write_files();
  say(fmt::format(
      "{}: {}, {} questions, {} of them have an answer{}",
      options_.questions == "-" ? "standard input" : printable(options_.questions),
      words_of(found.format), with_commas(found.questions), with_commas(counts.answered),
      counts.failed == 0 ? ""
                         : fmt::format(", {} have failed (--retry-errors asks them again)",
                                       with_commas(counts.failed))));
  if (counts.waiting > 0) {
    await_signals();
    asio::co_spawn(io_.get_executor(), main(), [this](std::exception_ptr error) {
      io_.stop();
      end_on_error(error);
    });
    io_.run();
  }
  return report();
}

// Those that still wait.
bool JobRun::read(std::vector<Question>& into, std::size_t at_most) {
  return source_.read([&](Question&& question) {
    if (ledger_.state_of(question.key) != ItemState::kWaiting) return true;
    if (question.lacks_model) question.body = with_model(question, model_);
    into.push_back(std::move(question));
    return into.size() < at_most;
  });
}

void JobRun::await_signals() {
  signals_.async_wait([this](const ErrorCode& error, int) {
    if (error) return;
    on_signal();
    await_signals();
  });
}

void JobRun::on_signal() {
  progress_.clear_line();
  if (++interrupts_ == 1 && asker_) {
    say(fmt::format("stopping: {} questions in flight are still answered; again to stop at once",
                    asker_->in_flight()));
    asker_->stop();
    return;
  }
  if (asker_) {
    asker_->abandon();
  } else {
    io_.stop();
  }
}

Task<void> JobRun::find_model() {
  if (!lacks_model_) co_return;
  const std::string before = ledger_.remembered(kModelWord);
  model_ = co_await proxy_.find_model(before, options_.limits.patience);
  if (!before.empty() && before != model_) {
    throw UnusableQuestions(
        fmt::format("the answers so far are of {}, and {} is served: serve that again, name one by "
                    "--default-model, or take another file for the answers",
                    printable(before), printable(model_)));
  }
  ledger_.remember(kModelWord, model_);
  say("lines without a model are asked of " + printable(model_));
}

Task<void> JobRun::main() {
  AskerSettings settings;
  settings.url = co_await proxy_.find();
  co_await find_model();
  settings.fields = bearer(options_.proxy.api_key);
  settings.limits = options_.limits;
  asker_.emplace(
      io_, std::move(settings),
      [this](std::vector<Question>& into, std::size_t at_most) { return read(into, at_most); },
      [this](const std::vector<ItemOutcome>& outcomes) { record(outcomes); });
  asio::co_spawn(io_.get_executor(), watch(), &end_on_error);
  progress_.start(Clock::now());
  co_await asker_->run();
}

void JobRun::refuse_without_key(const std::vector<ItemOutcome>& outcomes) const {
  for (const ItemOutcome& outcome : outcomes) {
    if (outcome.status == 401 && progress_.tally().answered == 0) {
      throw std::runtime_error("the proxy wants an API key: set OPENAI_API_KEY, and run again");
    }
  }
}

void JobRun::record(const std::vector<ItemOutcome>& outcomes) {
  refuse_without_key(outcomes);
  ledger_.record(outcomes);
  if (options_.ordered) {
    answers_.append_in_order(ledger_);
  } else {
    answers_.append(outcomes);
  }
  errors_.append(outcomes);
  progress_.add(outcomes);
  proxy_.has_answered();
}

Task<void> JobRun::watch() {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  TimePoint told = Clock::now();
  for (;;) {
    ErrorCode woken;
    tick_.expires_after(terminal ? 500ms : 1000ms);
    co_await tick_.async_wait(asio::redirect_error(use_task, woken));
    if (woken) co_return;
    if (interrupts_ == 0) {
      if (const auto moved = proxy_.look_after()) asker_->move_to(*moved);
    }
    const TimePoint now = Clock::now();
    progress_.sample(now);
    if (terminal) {
      progress_.draw(now);
    } else if (now - told >= 60s) {
      told = now;
      say(progress_.line(now) + progress_.shares());
    }
  }
}

int JobRun::report() {
  answers_.finish();
  errors_.finish();
  progress_.clear_line();
  const LedgerCounts& counts = progress_.counts();
  const bool asked = asker_.has_value();
  const auto ending = asked ? asker_->ending() : Asker::Ending::kDone;
  const bool stopped = interrupts_ > 0 && counts.waiting > 0;
  if (asked) say(progress_.summary(Clock::now()));
  if (ending == Asker::Ending::kGaveUp) {
    say(fmt::format("error: no answer for {}: {}. Run again to go on",
                    duration_words(options_.limits.patience),
                    asker_->trouble().empty() ? "the proxy refuses" : asker_->trouble()));
    return kExitGaveUp;
  }
  if (counts.failed > 0) {
    say(fmt::format("{} questions have failed: see {}.errors; --retry-errors asks them again",
                    with_commas(counts.failed), printable(options_.answers)));
  }
  if (stopped) {
    say(fmt::format("stopped, {} questions wait: run again to go on", with_commas(counts.waiting)));
    return kExitStopped;
  }
  if (asked && counts.waiting > 0 && !options_.limits.questions) {
    say(
        fmt::format("error: {} questions were not found a second time: the file has changed. Run "
                    "again",
                    with_commas(counts.waiting)));
    return kExitGaveUp;
  }
  return counts.failed > 0 ? kExitSomeFailed : 0;
}

// Without a trace: the ledger is one of SQLite's own, gone when it is closed.
int dry_run(const RunOptions& options) {
  QuestionSource source(options.questions, options.defaults, folder_of(options.answers));
  Ledger nowhere("");
  Ledger::Reading reading(nowhere);
  const QuestionSource::Found found = source.note_all(reading);
  const Question& first = found.first;
  std::cout << fmt::format("{} questions, as {}\n", with_commas(found.questions),
                           words_of(found.format));
  std::error_code none;
  if (fs::exists(ledger_of(options.answers), none)) {
    const LedgerCounts counts = Ledger(ledger_of(options.answers)).counts();
    std::cout << fmt::format("{} goes on: so far {} answered, {} failed\n",
                             printable(options.answers), with_commas(counts.answered),
                             with_commas(counts.failed));
  }
  std::cout << fmt::format("the first, '{}', would be sent to {}{}:\n{}\n", printable(first.key),
                           printable(first.path),
                           first.lacks_model ? ", with the model that is served" : "", first.body);
  return 0;
}

}  // namespace

std::string ledger_of(const std::string& answers) {
  return answers + ".ledger";
}

int run_job(const RunOptions& options) {
  try {
    check_places(options);
    if (options.dry_run) return dry_run(options);
    return JobRun(options).run();
  } catch (const UnusableQuestions& error) {
    say(std::string("error: ") + error.what());
    return kExitUnusable;
  }
}

}  // namespace batchproxy
