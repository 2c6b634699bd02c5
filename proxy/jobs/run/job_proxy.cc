// proxy/jobs/run/job_proxy.cc - see job_proxy.h.
#include "proxy/jobs/run/job_proxy.h"

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <utility>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <fmt/format.h>
#include <simdjson.h>

#include "configs/text/printable.h"

namespace batchproxy {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, IoExecutor>;

constexpr int kMostRestarts = 5;  // without an answer in between

// The first of those that /v1/models lists.
std::optional<std::string> first_model(const HttpReply& reply) {
  if (reply.status != 200) return std::nullopt;
  simdjson::dom::parser parser;
  std::string_view id;
  if (parser.parse(reply.body).at_pointer("/data/0/id").get(id)) return std::nullopt;
  return std::string(id);
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

Task<std::string> JobProxy::find_model(Duration patience) {
  const TimePoint begun = Clock::now();
  bool told = false;
  for (;;) {
    HttpClient client(io_, url_, bearer(choice_.api_key));
    const HttpReply reply = co_await client.request("/v1/models", "");
    if (const auto model = first_model(reply)) co_return *model;
    if (reply.status == 401) {
      throw std::runtime_error("the proxy wants an API key: set OPENAI_API_KEY");
    }
    if (own_) {
      if (const auto why = own_->ended()) throw std::runtime_error(*why);
    } else if (Clock::now() - begun >= patience) {
      throw std::runtime_error(
          fmt::format("{}/v1/models names no model: {}", choice_.url,
                      reply.status == 0 ? reply.body : fmt::format("status {}", reply.status)));
    }
    if (!told && Clock::now() - begun >= 5s) {
      std::cerr << "waiting for a model to be served\n";
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
