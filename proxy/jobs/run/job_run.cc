// proxy/jobs/run/job_run.cc - see job_run.h.
#include "proxy/jobs/run/job_run.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
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
#include "proxy/jobs/run/common_refusal.h"
#include "proxy/jobs/run/progress.h"
#include "proxy/jobs/run/question_source.h"

namespace batchproxy {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
constexpr Duration kSilence = 2s;  // then it is told that the proxy is away

using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, IoExecutor>;

void say(const std::string& line) {
  std::cerr << line << '\n';
}

std::string questions(std::int64_t number) {
  return with_commas(number) + (number == 1 ? " question" : " questions");
}

std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// The answers of somebody else's program are not ours to replace.
void check_places(const RunOptions& options) {
  if (options.answers == kStandardOutput) return;
  std::error_code none;
  if (fs::is_directory(options.answers, none)) {
    throw UnusableQuestions(printable(options.answers) + " is a folder: name a file in it");
  }
  if (options.questions != "-" && fs::equivalent(options.questions, options.answers, none)) {
    throw UnusableQuestions("the questions and the answers are one file: " +
                            printable(options.answers));
  }
  if (fs::exists(options.answers, none) && fs::file_size(options.answers, none) > 0 &&
      !fs::exists(ledger_of(options.job), none)) {
    throw UnusableQuestions(fmt::format(
        "{} exists, and no ledger beside it says that it is a run's: take another name, or move it "
        "away",
        printable(options.answers)));
  }
}

class JobRun {
 public:
  explicit JobRun(const RunOptions& options)
      : options_(options),
        source_(options.questions, options.defaults, folder_of(options.job)),
        ledger_(ledger_of(options.job)),
        answers_(options.answers, ItemState::kAnswered, options.provenance),
        errors_(options.job + ".errors", ItemState::kFailed, options.provenance),
        signals_(io_, SIGINT, SIGTERM, SIGHUP),
        tick_(io_.get_executor()),
        proxy_(io_, options.proxy, options.job + ".proxy.log") {}

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
  void keep(const std::vector<ItemOutcome>& outcomes);
  void tell_away(TimePoint now);
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
  CommonRefusal refusal_;
  RunProgress progress_;
  bool told_away_ = false;
  int interrupts_ = 0;
};

QuestionSource::Found JobRun::read_questions() {
  Ledger::Reading reading(ledger_);
  QuestionSource::Found found = source_.note_all(reading);
  if (reading.lost() > 0 && !options_.drop_changed) {
    throw UnusableQuestions(fmt::format(
        "{} that have an answer are others now, by the file or by flags such as --temperature, and "
        "their answers would be lost: take them back, take another file for the answers, or give "
        "--drop-changed",
        questions(reading.lost())));
  }
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
  const LedgerCounts before = ledger_.counts();
  progress_.begin(options_.retry_errors
                      ? LedgerCounts{before.waiting + before.failed, before.answered, 0}
                      : before);
  const LedgerCounts& counts = progress_.counts();
  write_files();
  say(fmt::format(
      "{}: {}, {}, {} of them have an answer{}",
      options_.questions == "-" ? "standard input" : printable(options_.questions),
      words_of(found.format), questions(found.questions), with_commas(counts.answered),
      before.failed == 0
          ? ""
          : fmt::format(", {} have failed ({})", with_commas(before.failed),
                        options_.retry_errors ? "asked again" : "--retry-errors asks them again")));
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

// Those that still wait. What has failed stays so in the ledger until it ends another time.
bool JobRun::read(std::vector<Question>& into, std::size_t at_most) {
  return source_.read([&](Question&& question) {
    const auto state = ledger_.state_of(question.key);
    const bool again = options_.retry_errors && state == ItemState::kFailed;
    if (state != ItemState::kWaiting && !again) return true;
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
  ++interrupts_;
  if (!asker_) return io_.stop();
  const auto in_flight = static_cast<std::int64_t>(asker_->in_flight());
  if (interrupts_ == 1) {
    if (in_flight > 0) {
      say(fmt::format("stopping: {} in flight {} still answered; again to stop at once",
                      questions(in_flight), in_flight == 1 ? "is" : "are"));
    }
    return asker_->stop();
  }
  if (interrupts_ == 2 && in_flight > 0) {
    say(fmt::format("stopped at once: {} in flight will be asked again", questions(in_flight)));
  }
  asker_->abandon();
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
  keep(refusal_.take());
}

void JobRun::record(const std::vector<ItemOutcome>& outcomes) {
  if (refusal_.is_ruled_out()) return keep(outcomes);
  refusal_.add(outcomes);
  if (const auto why = refusal_.sentence(!options_.proxy.api_key.empty())) {
    progress_.clear_line();
    throw std::runtime_error(*why);
  }
  if (refusal_.is_ruled_out()) keep(refusal_.take());
}

void JobRun::keep(const std::vector<ItemOutcome>& outcomes) {
  ledger_.record(outcomes);
  if (options_.ordered) {
    answers_.append_in_order(ledger_);
  } else {
    answers_.append(outcomes);
  }
  if (!options_.retry_errors) errors_.append(outcomes);  // else it is written anew at the end
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
    tell_away(now);
    if (terminal) {
      progress_.draw(now);
    } else if (now - told >= 60s) {
      told = now;
      say(progress_.line(now) + progress_.shares());
    }
  }
}

// Once each time.
void JobRun::tell_away(TimePoint now) {
  const auto since = asker_->away_since();
  const bool away = since && now - *since >= (told_away_ ? 0s : kSilence);
  if (away == told_away_) return;
  told_away_ = away;
  progress_.clear_line();
  say(away ? fmt::format("{} does not answer ({}): waiting for it, {} at most", proxy_.name(),
                         asker_->trouble(), duration_words(options_.limits.patience))
           : proxy_.name() + " answers again");
}

int JobRun::report() {
  answers_.finish();
  if (options_.retry_errors) {
    // What has an answer now may stand before what had one already.
    if (options_.ordered) answers_.write_anew(ledger_, true);
    errors_.write_anew(ledger_, false);
  }
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
    say(fmt::format("{} {} failed: see {}.errors; --retry-errors asks {} again",
                    questions(counts.failed), counts.failed == 1 ? "has" : "have",
                    printable(options_.job), counts.failed == 1 ? "it" : "them"));
  }
  if (stopped) {
    say(fmt::format("stopped, {} {}: run again{} to go on", questions(counts.waiting),
                    counts.waiting == 1 ? "waits" : "wait",
                    options_.retry_errors ? " with --retry-errors" : ""));
    return kExitStopped;
  }
  if (asked && counts.waiting > 0 && !options_.limits.questions) {
    say(fmt::format("error: {} {} not found a second time: the file has changed. Run again",
                    questions(counts.waiting), counts.waiting == 1 ? "was" : "were"));
    return kExitGaveUp;
  }
  return counts.failed > 0 ? kExitSomeFailed : 0;
}

// Without a trace: the ledger is one of SQLite's own, gone when it is closed.
int dry_run(const RunOptions& options) {
  const std::string folder = folder_of(options.job);
  if (::access(folder.c_str(), W_OK) != 0) {
    throw std::runtime_error(
        fmt::format("the ledger {} cannot be written: {}: its directory must exist and be writable",
                    printable(ledger_of(options.job)), std::strerror(errno)));
  }
  QuestionSource source(options.questions, options.defaults, folder);
  Ledger nowhere("");
  Ledger::Reading reading(nowhere);
  const QuestionSource::Found found = source.note_all(reading);
  const Question& first = found.first;
  std::cout << fmt::format("{}, as {}\n", questions(found.questions), words_of(found.format));
  std::error_code none;
  if (fs::exists(ledger_of(options.job), none)) {
    const LedgerCounts counts = Ledger(ledger_of(options.job)).counts();
    std::cout << fmt::format("{} goes on: so far {} answered, {} failed\n", printable(options.job),
                             with_commas(counts.answered), with_commas(counts.failed));
  }
  std::cout << fmt::format("the first, '{}', would be sent to {}{}:\n{}\n", printable(first.key),
                           printable(first.path),
                           first.lacks_model ? ", with the model that is served" : "", first.body);
  return 0;
}

}  // namespace

std::string ledger_of(const std::string& job) {
  return job + ".ledger";
}

int run_job(const RunOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader of our standard output may leave: that has a sentence
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
