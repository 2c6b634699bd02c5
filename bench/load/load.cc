// bench/load/load.cc - see load.h.
#include "bench/load/load.h"

#include <algorithm>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <fmt/format.h>
#include <sys/resource.h>

#include "backends/net/system_random.h"

namespace batchproxy::bench {

namespace {

// A worker whose server does not answer at all asks again after this: the failures of a dead server
// are to be few.
constexpr Duration kPause = std::chrono::milliseconds(250);
constexpr const char* kAborted = "aborted";

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Eight letters that no other run has.
std::string make_nonce() {
  return fmt::format("{:08x}", system_random() >> 32);
}

Mark mark_of(const ReadyQuestion& question, const RequestResult& result) {
  if (question.label.empty() || !result.answered()) return Mark::kNone;
  // An echo is the prompt, which names all options.
  if (question.echoes) return Mark::kNone;
  const char letter = chosen_letter(result.answer, question.options);
  return question.label == std::string(1, letter) ? Mark::kRight : Mark::kWrong;
}

}  // namespace

std::optional<std::size_t> LoadOptions::most(std::size_t questions) const {
  if (requests > 0) return requests;
  if (duration > 0) return std::nullopt;
  return questions;
}

Load::Load(LoadClient& client, BackendId server, const std::vector<ReadyQuestion>& questions,
           const LoadOptions& options, std::function<void(const RequestResult&)> told)
    : client_(client),
      server_(server),
      questions_(questions),
      options_(options),
      told_(std::move(told)),
      nonce_(make_nonce()),
      order_(questions.size(), options.shuffle, options.most(questions.size())),
      timer_(client.io().get_executor()) {}

Task<Repeat> Load::run() {
  const double cpu = cpu_seconds();
  client_.set_clock();
  const IoExecutor executor = client_.io().get_executor();
  if (options_.rate > 0) {
    ++running_;
    asio::co_spawn(executor, send_on_time(), &end_on_error);
  } else {
    running_ += options_.workers;
    for (std::size_t i = 0; i < options_.workers; ++i) {
      asio::co_spawn(executor, work(), &end_on_error);
    }
  }
  if (running_ > 0) co_await finished_.wait();
  Repeat repeat = take_results();
  repeat.client_cpu = cpu_seconds() - cpu;
  co_return repeat;
}

void Load::stop(std::string why) {
  if (stopped_) return;
  stopped_ = true;
  stopped_because_ = std::move(why);
  timer_.cancel();
  client_.hang_up();
}

void Load::leave() {
  if (--running_ == 0) finished_.wake_later(client_.io().get_executor());
}

Task<void> Load::work() {
  asio::steady_timer pause(client_.io().get_executor());
  while (!stopped_) {
    if (options_.duration > 0 && client_.now() >= options_.duration) break;
    const auto turn = order_.next();
    if (!turn) break;
    RequestResult& result = results_.emplace_back();
    result.question = turn->question;
    result.round = turn->round;
    result.due = client_.now();
    co_await ask(result);
    if (result.status != 0 || stopped_) continue;
    ErrorCode ignored;
    pause.expires_after(kPause);
    co_await pause.async_wait(asio::redirect_error(use_task, ignored));
  }
  leave();
}

Task<void> Load::send_on_time() {
  ArrivalTimes arrivals(options_.arrivals, options_.rate, options_.seed);
  while (!stopped_) {
    const double due = arrivals.next();
    if (options_.duration > 0 && due >= options_.duration) break;
    const auto turn = order_.next();
    if (!turn) break;
    // Those that are due already are sent at once, one after the other.
    if (due > client_.now()) {
      ErrorCode ignored;
      timer_.expires_at(client_.moment(due));
      co_await timer_.async_wait(asio::redirect_error(use_task, ignored));
    }
    if (stopped_) break;
    RequestResult& result = results_.emplace_back();
    result.question = turn->question;
    result.round = turn->round;
    result.due = due;
    ++running_;
    asio::co_spawn(client_.io().get_executor(), send(result), &end_on_error);
  }
  leave();
}

Task<void> Load::send(RequestResult& result) {
  co_await ask(result);
  leave();
}

Task<void> Load::ask(RequestResult& result) {
  const std::size_t number = results_.size();
  const ReadyQuestion& question = questions_[result.question];
  std::string salt = options_.salt;
  if (options_.distinct_rounds) {
    salt += fmt::format("{}Round {}", salt.empty() ? "" : " ", result.round);
  }
  salt = as_first_line(salt);
  const std::string request_id = fmt::format("bench-{}-{}", nonce_, number);
  const std::string id = options_.check_ids ? fmt::format("[{}]", request_id) : "";
  const std::string id_line = as_first_line(id);
  RequestWords words;
  words.salt = salt;
  words.id_line = id_line;
  words.id = id;
  words.request_id = request_id;
  most_in_flight_ = std::max(most_in_flight_, ++in_flight_);
  co_await client_.ask(server_, question, words, result);
  --in_flight_;
  result.mark = mark_of(question, result);
  note(result);
}

void Load::note(const RequestResult& result) {
  if (result.status != 0) last_heard_ = result.end;
  if (told_ && result.problem != kAborted) told_(result);
  if (result.status != 0 || result.end - last_heard_ < options_.give_up) return;
  stop(fmt::format("no answer for {:g} s: {}", options_.give_up, result.detail));
}

// What was cut off when the run was stopped is no result.
Repeat Load::take_results() {
  Repeat repeat;
  repeat.most_in_flight = most_in_flight_;
  for (RequestResult& result : results_) {
    if (result.problem == kAborted) continue;
    repeat.seconds = std::max(repeat.seconds, result.end);
    repeat.requests.push_back(std::move(result));
  }
  return repeat;
}

}  // namespace batchproxy::bench
