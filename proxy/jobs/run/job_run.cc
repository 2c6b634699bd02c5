// proxy/jobs/run/job_run.cc - see job_run.h.
#include "proxy/jobs/run/job_run.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <simdjson.h>
#include <unistd.h>

#include "configs/text/printable.h"
#include "proxy/jobs/asker.h"
#include "proxy/jobs/ledger.h"
#include "proxy/jobs/run/answer_file.h"
#include "proxy/jobs/run/child_proxy.h"
#include "proxy/jobs/run/progress.h"
#include "proxy/jobs/run/question_source.h"

namespace batchproxy {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, IoExecutor>;

constexpr int kMostRestarts = 5;  // of our own proxy, without an answer in between
constexpr std::string_view kModel = "model";
constexpr std::string_view kQuestions = "questions";

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

// The first model that /v1/models lists.
std::optional<std::string> first_model(const HttpReply& reply) {
  if (reply.status != 200) return std::nullopt;
  simdjson::dom::parser parser;
  std::string_view id;
  if (parser.parse(reply.body).at_pointer("/data/0/id").get(id)) return std::nullopt;
  return std::string(id);
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
        tick_(io_.get_executor()) {}

  int run();

 private:
  QuestionSource::Found read_questions();
  void write_files();
  Task<void> main();
  Task<void> find_proxy();
  Task<void> find_model();
  Task<void> sleep(Duration how_long);
  Task<void> watch();
  void mind_the_proxy();
  void await_signals();
  void on_signal();
  void record(const std::vector<ItemOutcome>& outcomes);
  void refuse_without_key(const std::vector<ItemOutcome>& outcomes) const;
  void start_proxy();
  int report();

  const RunOptions& options_;
  QuestionSource source_;
  Ledger ledger_;
  AnswerFile answers_;
  AnswerFile errors_;
  asio::io_context io_{1};
  asio::signal_set signals_;
  Timer tick_;
  std::unique_ptr<ChildProxy> proxy_;
  Url url_;
  std::string model_;
  bool lacks_model_ = false;
  std::optional<Asker> asker_;
  RunProgress progress_;
  int interrupts_ = 0;
  int restarts_ = 0;
  bool starting_again_ = false;
};

QuestionSource::Found JobRun::read_questions() {
  Ledger::Reading reading(ledger_);
  QuestionSource::Found found = source_.note_all(reading);
  if (options_.retry_errors) reading.retry_failed();
  reading.commit();
  lacks_model_ = found.lacks_model;
  std::error_code none;
  if (options_.questions != "-") {
    ledger_.remember(kQuestions, fs::absolute(options_.questions, none).string());
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
      signals_.cancel();
      tick_.cancel();
      end_on_error(error);
    });
    io_.run();
  }
  return report();
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

void JobRun::start_proxy() {
  proxy_.reset();
  proxy_ = std::make_unique<ChildProxy>(options_.program, options_.flags,
                                        options_.answers + ".proxy.log");
}

Task<void> JobRun::sleep(Duration how_long) {
  ErrorCode woken;
  Timer timer(io_.get_executor(), Clock::now() + how_long);
  co_await timer.async_wait(asio::redirect_error(use_task, woken));
}

Task<void> JobRun::find_proxy() {
  if (!options_.url.empty()) {
    url_ = parse_url(options_.url);
    co_return;
  }
  start_proxy();
  for (;;) {
    if (const auto url = proxy_->url()) {
      url_ = parse_url(*url);
      say(fmt::format("a proxy of its own listens at {}, and logs to {}.proxy.log", *url,
                      printable(options_.answers)));
      co_return;
    }
    if (const auto why = proxy_->ended()) throw std::runtime_error(*why);
    co_await sleep(50ms);
  }
}

Task<void> JobRun::find_model() {
  if (!lacks_model_) co_return;
  const TimePoint begun = Clock::now();
  std::string trouble;
  bool told = false;
  for (;;) {
    HttpClient client(io_, url_, bearer(options_.api_key));
    const HttpReply reply = co_await client.request("/v1/models", "");
    if (const auto model = first_model(reply)) {
      model_ = *model;
      break;
    }
    trouble = reply.status == 0 ? reply.body : fmt::format("status {}", reply.status);
    if (reply.status == 401)
      throw std::runtime_error("the proxy wants an API key: set OPENAI_API_KEY");
    if (proxy_) {
      if (const auto why = proxy_->ended()) throw std::runtime_error(*why);
    } else if (Clock::now() - begun >= options_.limits.patience) {
      throw std::runtime_error(
          fmt::format("{}/v1/models names no model: {}", options_.url, printable(trouble)));
    }
    if (!told && Clock::now() - begun >= 5s) {
      say("waiting for a model to be served");
      told = true;
    }
    co_await sleep(200ms);
  }
  const std::string before = ledger_.remembered(kModel);
  if (!before.empty() && before != model_) {
    throw UnusableQuestions(
        fmt::format("the answers so far are of {}, and {} is served: serve that again, name one by "
                    "--default-model, or take another file for the answers",
                    printable(before), printable(model_)));
  }
  ledger_.remember(kModel, model_);
  say("lines without a model are asked of " + printable(model_));
}

Task<void> JobRun::main() {
  co_await find_proxy();
  co_await find_model();
  AskerSettings settings;
  settings.url = url_;
  settings.fields = bearer(options_.api_key);
  settings.limits = options_.limits;
  asker_.emplace(
      io_, std::move(settings),
      [this](std::vector<Question>& into, std::size_t at_most) {
        return source_.read(ledger_, model_, into, at_most);
      },
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
  restarts_ = 0;
}

// A proxy of ours that has died is started again; what was in flight is asked again.
void JobRun::mind_the_proxy() {
  if (!proxy_ || interrupts_ > 0) return;
  if (starting_again_) {
    if (const auto url = proxy_->url()) {
      starting_again_ = false;
      asker_->move_to(parse_url(*url));
    }
  }
  const auto why = proxy_->ended();
  if (!why) return;
  if (++restarts_ > kMostRestarts) throw std::runtime_error(*why);
  progress_.clear_line();
  say(why->substr(0, why->find(';')) + "; it is started again");
  start_proxy();
  starting_again_ = true;
}

Task<void> JobRun::watch() {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  TimePoint told = Clock::now();
  for (;;) {
    ErrorCode woken;
    tick_.expires_after(terminal ? 500ms : 1000ms);
    co_await tick_.async_wait(asio::redirect_error(use_task, woken));
    if (woken) co_return;
    mind_the_proxy();
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
