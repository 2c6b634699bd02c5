// proxy/jobs/run/job_proxy.cc - see job_proxy.h.
#include "proxy/jobs/run/job_proxy.h"

#include <chrono>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <fmt/format.h>
#include <simdjson.h>

#include "configs/text/printable.h"
#include "proxy/jobs/run/progress.h"

namespace batchproxy {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, IoExecutor>;

constexpr Duration kSilence = 2s;  // then a word
constexpr int kMostRestarts = 5;   // without an answer in between
constexpr std::chrono::seconds kModelsPatience = 10s;

// Of those that /v1/models lists, `wished` or else the first.
std::optional<std::string> model_in(const HttpReply& reply, const std::string& wished) {
  if (reply.status != 200) return std::nullopt;
  simdjson::dom::parser parser;
  simdjson::dom::array models;
  if (parser.parse(reply.body).at_key("data").get(models)) return std::nullopt;
  std::optional<std::string> first;
  for (const simdjson::dom::element model : models) {
    std::string_view id;
    if (model["id"].get(id)) continue;
    if (id == wished) return wished;
    if (!first) first = id;
  }
  return first;
}

// No waiting makes that another answer: it is no server of models, or it wants a key.
std::optional<std::string> refusal_in(const HttpReply& reply, const std::string& url) {
  if (reply.status == 401) return "the proxy wants an API key: set OPENAI_API_KEY";
  const bool may_change = reply.status < 400 || reply.status >= 500 || reply.status == 408 ||
                          reply.status == 425 || reply.status == 429;
  if (may_change) return std::nullopt;
  return fmt::format(
      "{}/v1/models is answered with status {}: give --url the address that your workers ask (not "
      "the admin address), or name a model by --default-model",
      url, reply.status);
}

}  // namespace

JobProxy::JobProxy(asio::io_context& io, const ProxyChoice& choice, std::string log)
    : io_(io), choice_(choice), log_(std::move(log)) {}

void JobProxy::start() {
  own_.reset();
  own_ = std::make_unique<ChildProxy>(choice_.program, choice_.flags, log_);
}

Task<void> JobProxy::sleep(Duration how_long) {
  ErrorCode woken;
  Timer timer(io_.get_executor(), Clock::now() + how_long);
  co_await timer.async_wait(asio::redirect_error(use_task, woken));
}

Task<Url> JobProxy::find() {
  if (!choice_.url.empty()) {
    url_ = parse_url(choice_.url);
    co_return url_;
  }
  std::error_code none;
  std::filesystem::remove(log_, none);
  start();
  for (;;) {
    if (const auto url = own_->url()) {
      url_ = parse_url(*url);
      std::cerr << "a proxy of its own listens at " << *url << ", and logs to " << printable(log_)
                << '\n';
      co_return url_;
    }
    if (const auto why = own_->ended()) throw std::runtime_error(*why);
    co_await sleep(50ms);
  }
}

Task<std::string> JobProxy::find_model(std::string wished, Duration patience) {
  const TimePoint begun = Clock::now();
  bool told = false;
  for (;;) {
    HttpClient client(io_, url_, bearer(choice_.api_key), kModelsPatience);
    const HttpReply reply = co_await client.request("/v1/models", "");
    if (const auto model = model_in(reply, wished)) co_return *model;
    if (const auto refusal = refusal_in(reply, choice_.url)) throw std::runtime_error(*refusal);
    if (own_) {
      if (const auto why = own_->ended()) throw std::runtime_error(*why);
    } else if (Clock::now() - begun >= patience) {
      throw std::runtime_error(
          fmt::format("{}/v1/models names no model: {}", choice_.url,
                      reply.status == 0 ? reply.body : fmt::format("status {}", reply.status)));
    }
    if (!told && Clock::now() - begun >= kSilence) {
      std::cerr << (own_ || reply.status != 0
                        ? "waiting for a model to be served\n"
                        : fmt::format("{} does not answer ({}): waiting for it, {} at most\n",
                                      choice_.url, reply.body, duration_words(patience)));
      told = true;
    }
    co_await sleep(200ms);
  }
}

std::optional<Url> JobProxy::look_after() {
  if (!own_) return std::nullopt;
  if (const auto why = own_->ended()) {
    if (++restarts_ > kMostRestarts) throw std::runtime_error(*why);
    std::cerr << why->substr(0, why->find(';')) << "; it is started again\n";
    start();
    starting_again_ = true;
  }
  if (!starting_again_) return std::nullopt;
  const auto url = own_->url();
  if (!url) return std::nullopt;
  starting_again_ = false;
  url_ = parse_url(*url);
  return url_;
}

}  // namespace batchproxy
