// backends/backend_monitor.cc - see backend_monitor.h.
#include "backends/backend_monitor.h"

#include <algorithm>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <simdjson.h>

namespace batchproxy {

namespace beast = boost::beast;

namespace {

constexpr Duration kPatience = std::chrono::seconds(2);  // for one /health or /v1/models
constexpr std::size_t kMaxReply = 4 << 20;               // bytes

ProbeResult classify(const ErrorCode& error) {
  return error == beast::error::timeout ? ProbeResult::kSilent : ProbeResult::kRefused;
}

// The model objects of a GET /v1/models answer, each as raw JSON; empty if it is not one.
std::vector<ModelTable::Served> parse_models(std::string_view body) {
  namespace ondemand = simdjson::ondemand;
  std::vector<ModelTable::Served> models;
  try {
    ondemand::parser parser;
    const simdjson::padded_string padded(body);
    auto document = parser.iterate(padded);
    for (ondemand::object model : document["data"].get_array()) {
      const std::string_view raw = model.raw_json();
      model.reset();
      const std::string_view id = model["id"].get_string();
      models.push_back({std::string(id), std::string(raw)});
    }
  } catch (const simdjson::simdjson_error&) {
    models.clear();
  }
  return models;
}

}  // namespace

BackendMonitor::BackendMonitor(asio::io_context& io, Duration interval, Events events)
    : io_(io), interval_(interval), events_(std::move(events)) {}

void BackendMonitor::add(const Endpoint* endpoint) {
  watched_.push_back(
      std::make_unique<Watched>(Watched{endpoint, HealthTracker(), asio::steady_timer(io_)}));
  models_->expect(endpoint->id);
}

void BackendMonitor::start() {
  events_.on_models(std::make_shared<ModelTable>(*models_));
  for (auto& watched : watched_) {
    // A failure in here is a bug; let it end the process rather than leave a backend unwatched.
    auto rethrow = [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    };
    asio::co_spawn(io_.get_executor(), watch(*watched), rethrow);
  }
}

void BackendMonitor::stop() {
  stopped_ = true;
  for (auto& watched : watched_) watched->timer.cancel();
}

void BackendMonitor::report_failure(BackendId backend, bool unreachable) {
  asio::post(io_, [this, backend, unreachable] {
    if (stopped_) return;
    Watched& watched = *watched_[backend];
    if (unreachable && watched.tracker.on_unreachable()) tell_health(watched);
    watched.timer.cancel();
  });
}

bool BackendMonitor::any_ready() const {
  return std::any_of(watched_.begin(), watched_.end(), [](const auto& watched) {
    return watched->tracker.health() == Health::kReady;
  });
}

Task<void> BackendMonitor::watch(Watched& watched) {
  while (!stopped_) {
    const Endpoint& at = *watched.endpoint;
    Reply reply = co_await get(io_, at.address, at.authority, at.api_key, "/health", kPatience);
    if (stopped_) break;
    const bool was_ready = watched.tracker.health() == Health::kReady;
    // Without its models no request could be routed to it, so that comes before "ready".
    if (reply.result == ProbeResult::kOk && !was_ready) {
      const bool known = co_await learn_models(watched);
      if (!known) reply.result = ProbeResult::kNotReady;
    }
    if (watched.tracker.on_probe(reply.result)) tell_health(watched);
    const bool ready = watched.tracker.health() == Health::kReady;
    // Eager to see it come up, in no hurry while all is well.
    watched.timer.expires_after(ready ? interval_ : std::min(interval_, Duration(500'000'000)));
    ErrorCode ignored;
    co_await watched.timer.async_wait(asio::redirect_error(use_task, ignored));
  }
}

Task<bool> BackendMonitor::learn_models(Watched& watched) {
  const Endpoint& at = *watched.endpoint;
  const Reply reply =
      co_await get(io_, at.address, at.authority, at.api_key, "/v1/models", kPatience);
  if (reply.result != ProbeResult::kOk) co_return false;
  const auto models = parse_models(reply.body);
  if (models.empty()) co_return false;
  models_->set(at.id, models);
  events_.on_models(std::make_shared<ModelTable>(*models_));
  co_return true;
}

void BackendMonitor::tell_health(const Watched& watched) {
  events_.on_health(watched.endpoint->id, watched.tracker.health());
}

Task<BackendMonitor::Reply> BackendMonitor::get(asio::io_context& io,
                                                asio::ip::tcp::endpoint address,
                                                std::string authority, std::string api_key,
                                                std::string path, Duration patience) {
  beast::basic_stream<asio::ip::tcp, IoExecutor> stream(io.get_executor());
  stream.expires_after(patience);
  ErrorCode error;
  co_await stream.async_connect(address, asio::redirect_error(use_task, error));
  if (error) co_return Reply{classify(error), {}};

  beast::http::request<beast::http::string_body> request(beast::http::verb::get, path, 11);
  request.set(beast::http::field::host, authority);
  if (!api_key.empty()) request.set(beast::http::field::authorization, "Bearer " + api_key);
  request.set(beast::http::field::connection, "close");
  co_await beast::http::async_write(stream, request, asio::redirect_error(use_task, error));
  if (error) co_return Reply{classify(error), {}};

  beast::flat_buffer buffer(kMaxReply + 64 * 1024);
  beast::http::response_parser<beast::http::string_body> parser;
  parser.body_limit(kMaxReply);
  co_await beast::http::async_read(stream, buffer, parser, asio::redirect_error(use_task, error));
  if (error) co_return Reply{classify(error), {}};
  if (parser.get().result_int() != 200) co_return Reply{ProbeResult::kNotReady, {}};
  co_return Reply{ProbeResult::kOk, std::move(parser.get().body())};
}

}  // namespace batchproxy
