// bench/load/load.cc - see load.h.
#include "bench/load/load.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_to.hpp>

#include "backends/call/http_client.h"

namespace batchproxy::bench {

namespace json = boost::json;

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string body_of(const LoadOptions& options, const std::string& model,
                    const std::string& prompt) {
  json::object body{{"model", model}, {"temperature", 0}, {"max_tokens", options.max_tokens}};
  if (options.chat) {
    body["messages"] = json::array{json::object{{"role", "user"}, {"content", prompt}}};
  } else {
    body["prompt"] = prompt;
  }
  return json::serialize(body);
}

// The text of the first choice; the body itself when it is not such an answer.
std::string text_of(const HttpReply& reply, bool chat) {
  boost::system::error_code error;
  const json::value parsed = json::parse(reply.body, error);
  if (error || reply.status != 200) return reply.body;
  const json::value* text =
      parsed.find_pointer(chat ? "/choices/0/message/content" : "/choices/0/text", error);
  return text && text->is_string() ? json::value_to<std::string>(*text) : reply.body;
}

// The questions in file order, again and again, mixed within windows: always in the same way.
void choose_questions(std::vector<Outcome>& outcomes, std::size_t questions, std::size_t window) {
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    outcomes[i].round = i / questions;
    outcomes[i].question = i % questions;
  }
  if (window < 2) return;
  std::mt19937_64 random(1);
  for (std::size_t begin = 0; begin < outcomes.size(); begin += window) {
    const std::size_t end = std::min(outcomes.size(), begin + window);
    for (std::size_t i = end - 1; i > begin; --i) {
      std::swap(outcomes[i], outcomes[begin + random() % (i - begin + 1)]);
    }
  }
}

std::string salt_of(const LoadOptions& options, const Outcome& outcome) {
  if (!options.distinct_rounds) return options.salt;
  return options.salt + "Round " + std::to_string(outcome.round);
}

struct Run {
  const std::vector<Question>& questions;
  const LoadOptions& options;
  LoadResult result;
  std::size_t next = 0;
};

Task<void> find_model(asio::io_context& io, Run& run) {
  HttpClient client(io, parse_url(run.options.url));
  const HttpReply reply = co_await client.request("/v1/models", "");
  boost::system::error_code error;
  const json::value parsed = json::parse(reply.body, error);
  if (reply.status != 200 || error) {
    throw std::runtime_error(run.options.url + "/v1/models: " +
                             (reply.status == 0 ? reply.body : std::to_string(reply.status)));
  }
  const json::value* id = parsed.find_pointer("/data/0/id", error);
  if (!id) throw std::runtime_error(run.options.url + " serves no model yet");
  run.result.model = json::value_to<std::string>(*id);
}

Task<void> work(asio::io_context& io, Run& run) {
  HttpClient client(io, parse_url(run.options.url));
  while (run.next < run.result.outcomes.size()) {
    Outcome& outcome = run.result.outcomes[run.next++];
    const Question& question = run.questions[outcome.question];
    std::string body =
        body_of(run.options, run.result.model, prompt_of(question, salt_of(run.options, outcome)));
    const auto start = Clock::now();
    const HttpReply reply = co_await client.request(
        run.options.chat ? "/v1/chat/completions" : "/v1/completions", std::move(body));
    outcome.seconds = seconds_since(start);
    outcome.status = reply.status;
    outcome.backend = reply.backend;
    outcome.answer = text_of(reply, run.options.chat);
  }
}

}  // namespace

LoadResult run_load(const std::vector<Question>& questions, const LoadOptions& options) {
  asio::io_context io(1);
  Run run{questions, options, {}, 0};
  run.result.model = options.model;
  if (options.model.empty()) {
    asio::co_spawn(io.get_executor(), find_model(io, run), &end_on_error);
    io.run();
    io.restart();
  }
  run.result.outcomes.resize(options.requests == 0 ? questions.size() : options.requests);
  choose_questions(run.result.outcomes, questions.size(), options.shuffle);
  const auto start = Clock::now();
  for (std::size_t i = 0; i < options.workers; ++i) {
    asio::co_spawn(io.get_executor(), work(io, run), &end_on_error);
  }
  io.run();
  run.result.seconds = seconds_since(start);
  return std::move(run.result);
}

}  // namespace batchproxy::bench
