// proxy/jobs/asker.cc - see asker.h.
#include "proxy/jobs/asker.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <simdjson.h>

namespace batchproxy {

namespace {

using Clock = std::chrono::steady_clock;

constexpr Duration kLongestSleep = std::chrono::seconds(1);
constexpr Duration kNothingYet = std::chrono::milliseconds(2);
// Read in few at a time, as a window may be full of a few long ones.
constexpr std::size_t kReadAtOnce = 16;
constexpr int kReads = 16;

std::int64_t wall_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

bool is_success(unsigned status) {
  return status >= 200 && status < 300;
}

// A success that is no JSON came from no engine: something in between has answered, or was cut.
void check(HttpReply& reply) {
  thread_local simdjson::dom::parser parser;
  if (!is_success(reply.status) || parser.parse(reply.body).error() == simdjson::SUCCESS) return;
  reply.status = 0;
  reply.lost = true;
  reply.body = "the answer is no JSON";
}

void read_usage(const std::string& body, ItemOutcome& outcome) {
  thread_local simdjson::dom::parser parser;
  simdjson::dom::object usage;
  if (parser.parse(body).at_key("usage").get(usage)) return;
  std::int64_t tokens = 0;
  const auto has = [&](const char* name) { return !usage[name].get(tokens); };
  if (has("prompt_tokens") || has("input_tokens")) outcome.prompt_tokens = tokens;
  if (has("completion_tokens") || has("output_tokens")) outcome.completion_tokens = tokens;
}

}  // namespace

ItemOutcome outcome_of(const Ask& ask, HttpReply reply) {
  ItemOutcome outcome;
  outcome.key = ask.question.key;
  outcome.attempts = ask.attempt;
  outcome.status = reply.status;
  outcome.backend = std::move(reply.backend);
  outcome.batch = std::move(reply.batch);
  outcome.answer = std::move(reply.body);
  if (is_success(reply.status)) read_usage(outcome.answer, outcome);
  return outcome;
}

struct Asker::Line {
  Line(asio::io_context& io, Url to, HttpFields fields, std::chrono::seconds patience)
      : url(to), client(io, std::move(to), std::move(fields), patience) {}

  Url url;
  HttpClient client;
};

Asker::Asker(asio::io_context& io, AskerSettings settings, Source source, Record record)
    : io_(io),
      url_(std::move(settings.url)),
      fields_(std::move(settings.fields)),
      patience_(settings.patience),
      source_(std::move(source)),
      record_(std::move(record)),
      core_(settings.limits),
      timer_(io.get_executor()) {}

Asker::~Asker() = default;

void Asker::wake() {
  timer_.cancel();
}

void Asker::stop() {
  core_.stop();
  ending_ = Ending::kStopped;
  wake();
}

void Asker::abandon() {
  stop();
  hang_up();
}

// Their coroutines end when they hear of it.
void Asker::hang_up() {
  abandoned_ = true;
  core_.stop();
  for (Line* line : busy_) line->client.cancel();
}

void Asker::move_to(Url url) {
  url_ = std::move(url);
  idle_.clear();
}

bool Asker::read_on() {
  if (source_ended_ || !core_.wants_questions()) return false;
  bool more = true;
  for (int reads = 0; more && reads < kReads && !core_.is_full(); ++reads) {
    read_.clear();
    more = source_(read_, kReadAtOnce);
    for (Question& question : read_) core_.add(std::move(question));
    if (read_.empty()) break;
  }
  if (!more) {
    source_ended_ = true;
    core_.end_of_questions();
  }
  // Whoever has none now is asked again a little later, and not all the time.
  return more && !read_.empty() && !core_.is_full();
}

void Asker::send_what_may_go() {
  while (std::optional<Ask> next = core_.next(Clock::now())) {
    std::unique_ptr<Line> line;
    if (idle_.empty()) {
      line = std::make_unique<Line>(io_, url_, fields_, patience_);
    } else {
      line = std::move(idle_.back());
      idle_.pop_back();
    }
    busy_.push_back(line.get());
    asio::co_spawn(io_.get_executor(), ask(std::move(line), *std::move(next)), &end_on_error);
  }
}

Task<void> Asker::ask(std::unique_ptr<Line> line, Ask question) {
  const TimePoint sent = Clock::now();
  const std::int64_t sent_ms = wall_ms();
  std::string path = question.question.path;
  std::string body = question.question.body;
  HttpReply reply = co_await line->client.request(std::move(path), std::move(body));
  std::erase(busy_, line.get());
  check(reply);
  const bool here = line->url.host == url_.host && line->url.port == url_.port;
  if (here && reply.status != 0) idle_.push_back(std::move(line));
  take(question, std::move(reply), sent, sent_ms);
  wake();
}

void Asker::take(Ask& question, HttpReply reply, TimePoint sent, std::int64_t sent_ms) {
  const TimePoint now = Clock::now();
  if (abandoned_ && reply.status == 0) {
    core_.drop();
    return;
  }
  trouble_ = reply.status == 0 ? reply.body : "";
  const ReplySeen seen{reply.status, reply.lost, retry_after_in(reply.retry_after)};
  const AfterReply after = core_.on_reply(question, seen, now);
  if (after == AfterReply::kAgain) return;
  ItemOutcome outcome = outcome_of(question, std::move(reply));
  outcome.state = after == AfterReply::kAnswered ? ItemState::kAnswered : ItemState::kFailed;
  outcome.asked_ms = sent_ms;
  outcome.answered_ms =
      sent_ms + std::chrono::duration_cast<std::chrono::milliseconds>(now - sent).count();
  if (outcomes_.empty()) group_since_ = now;
  outcomes_.push_back(std::move(outcome));
}

void Asker::record_outcomes() {
  if (outcomes_.empty()) return;
  record_(outcomes_);
  outcomes_.clear();
}

TimePoint Asker::next_look(bool more) const {
  const TimePoint now = Clock::now();
  if (more) return now;
  TimePoint look = now + (source_ended_ || !read_.empty() ? kLongestSleep : kNothingYet);
  if (!outcomes_.empty()) look = std::min(look, group_since_ + kGroupTime);
  if (const auto due = core_.next_due()) look = std::min(look, *due);
  return look;
}

Task<void> Asker::run() {
  std::exception_ptr trouble;
  while (!core_.done()) {
    bool more = false;
    try {
      more = read_on();
      if (outcomes_.size() >= kGroup || Clock::now() - group_since_ >= kGroupTime) {
        record_outcomes();
      }
    } catch (...) {
      trouble = std::current_exception();
    }
    if (trouble) {
      outcomes_.clear();
      hang_up();
    } else {
      send_what_may_go();
    }
    if (ending_ == Ending::kDone && core_.gives_up(Clock::now())) {
      ending_ = Ending::kGaveUp;
      hang_up();
    }
    if (core_.done()) break;
    ErrorCode woken;
    timer_.expires_at(next_look(more));
    co_await timer_.async_wait(asio::redirect_error(use_task, woken));
  }
  if (trouble) std::rethrow_exception(trouble);
  record_outcomes();
}

}  // namespace batchproxy
