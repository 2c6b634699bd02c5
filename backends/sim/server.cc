// backends/sim/server.cc - sockets and HTTP of the simulated engine; the only file that uses Beast.
#include "backends/sim/server.h"

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <exception>
#include <limits>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <sys/socket.h>

#include "backends/sim/engine_driver.h"

namespace batchproxy::sim {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

constexpr auto kUse = asio::as_tuple(asio::use_awaitable);
constexpr std::uint64_t kMostBodyBytes = 256u << 20;
constexpr std::uint32_t kMostHeaderBytes = 64u << 10;
constexpr int kBacklog = 2048;  // as uvicorn
constexpr auto kLastWords =
    std::chrono::milliseconds(300);  // between an engine's death and the end

// entrypoints/serve/utils/error_response.py of vLLM 0.32.
constexpr std::string_view kDead =
    R"({"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the )"
    R"(root cause.","type":"InternalServerError","param":null,"code":500}})";

bool is_malformed(const beast::error_code& error) {
  static const boost::system::error_category& http_errors =
      make_error_code(http::error::end_of_stream).category();
  return error.category() == http_errors && error != http::error::end_of_stream &&
         error != http::error::partial_message;
}

// All that a session needs of its server.
struct Engine {
  explicit Engine(SimServerOptions given, const asio::any_io_executor& executor)
      : options(std::move(given)),
        model(options.hardware, options.limits, options.costs),
        api(options.api, model),
        driver(executor, model, api, options.time_scale),
        end(executor) {}

  void die() {
    if (std::exchange(dead, true)) return;
    if (options.tell_death) options.tell_death();
    api.set_dead();
    driver.die();
    end.expires_after(kLastWords);
    end.async_wait([this](const beast::error_code& error) {
      if (!error) options.end(0);  // as vLLM
    });
  }

  const SimServerOptions options;
  ServerModel model;
  Api api;
  EngineDriver driver;
  asio::steady_timer end;
  bool dead = false;
  std::uint64_t engine_calls = 0;
};

// One client connection. Lives as long as run() or a pending watch_client().
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, Engine& engine) : stream_(std::move(socket)), engine_(engine) {}

  asio::awaitable<void> run() {
    beast::error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    bool again = true;
    while (again) again = co_await serve_one();
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.close();
  }

 private:
  // Whether the connection may carry another request.
  asio::awaitable<bool> serve_one() {
    http::request_parser<http::string_body> parser;
    parser.body_limit(kMostBodyBytes);
    parser.header_limit(kMostHeaderBytes);
    const bool received = co_await read_request(parser);
    if (!received) co_return false;
    keep_alive_ = parser.get().keep_alive();
    version_ = parser.get().version();

    ApiOutcome outcome = engine_.api.handle(to_api_request(parser.release()));
    if (const Fault* fault = std::get_if<Fault>(&outcome)) co_return co_await apply(*fault);
    if (ApiReply* reply = std::get_if<ApiReply>(&outcome)) co_return co_await write_reply(*reply);
    co_return co_await compute(std::get<std::unique_ptr<ApiCall>>(std::move(outcome)));
  }

  asio::awaitable<bool> read_request(http::request_parser<http::string_body>& parser) {
    // Like uvicorn, only a connection that has served a request times out.
    if (served_ > 0) {
      stream_.expires_after(
          std::chrono::duration_cast<std::chrono::nanoseconds>(engine_.options.keep_alive));
    }
    auto [header_error, header_bytes] =
        co_await http::async_read_header(stream_, buffer_, parser, kUse);
    stream_.expires_never();
    if (is_malformed(header_error)) {
      ApiReply reply{400, "text/plain; charset=utf-8", "Invalid HTTP request received."};
      keep_alive_ = false;
      co_await write_reply(reply);
    }
    if (header_error) co_return false;
    if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await asio::async_write(stream_, asio::buffer(kContinue), kUse);
    }
    auto [error, bytes] = co_await http::async_read(stream_, buffer_, parser, kUse);
    ++served_;
    co_return !error;
  }

  static ApiRequest to_api_request(http::request<http::string_body> message) {
    ApiRequest request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    request.content_type = std::string(message[http::field::content_type]);
    request.authorization = std::string(message[http::field::authorization]);
    request.request_id = std::string(message["X-Request-Id"]);
    request.host = std::string(message[http::field::host]);
    request.body = std::move(message.body());
    request.unix_time = std::time(nullptr);
    return request;
  }

  asio::awaitable<bool> apply(Fault fault) {
    if (fault == Fault::kCrash) {
      engine_.options.end(1);
      co_return false;
    }
    if (fault == Fault::kDie) {
      engine_.die();
      co_return co_await tell_death();
    }
    engine_.driver.set_hanging(fault == Fault::kHang);
    ApiReply reply;
    reply.body = fault == Fault::kHang ? R"({"mode":"hang"})" : R"({"mode":"none"})";
    co_return co_await write_reply(reply);
  }

  asio::awaitable<bool> compute(std::unique_ptr<ApiCall> call) {
    ++engine_.engine_calls;
    if (engine_.engine_calls == engine_.options.crash_after) {
      engine_.options.end(1);
      co_return false;
    }
    if (engine_.engine_calls == engine_.options.hang_after) engine_.driver.set_hanging(true);
    if (engine_.engine_calls == engine_.options.die_after) engine_.die();
    if (engine_.dead) co_return co_await tell_death();

    const std::shared_ptr<PendingCall> pending = engine_.driver.start(std::move(call));
    if (pending == nullptr) {
      ApiReply reply;
      reply.status = 500;
      reply.body = R"({"error":{"message":"The request does not fit into the KV cache.",)"
                   R"("type":"InternalServerError","param":null,"code":500}})";
      co_return co_await write_reply(reply);
    }
    watch_client(pending);
    const bool again =
        pending->call->stream() ? co_await write_stream(pending) : co_await write_answer(pending);
    beast::error_code ignored;
    stream_.socket().cancel(ignored);  // ends watch_client()
    co_return again;
  }

  // Wakes the session when the client closes its side. Data instead of an end is the next request:
  // it stays in the socket, and hides a later end until it is read.
  void watch_client(std::shared_ptr<PendingCall> pending) {
    auto on_readable = [self = shared_from_this(),
                        pending = std::move(pending)](const beast::error_code& error) {
      if (error == asio::error::operation_aborted) return;
      char byte = 0;
      const auto got =
          ::recv(self->stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (got > 0 || (got < 0 && errno == EAGAIN)) return;
      pending->client_gone = true;
      self->engine_.driver.cancel(*pending);
      pending->wake();
    };
    stream_.socket().async_wait(tcp::socket::wait_read, std::move(on_readable));
  }

  asio::awaitable<bool> write_answer(std::shared_ptr<PendingCall> pending) {
    while (!pending->done && !pending->client_gone && !pending->failed) {
      co_await pending->changed.async_wait(kUse);
    }
    if (pending->client_gone) co_return false;
    if (pending->failed) co_return co_await tell_death();
    ApiReply reply;
    reply.body = pending->call->body();
    co_return co_await write_reply(reply);
  }

  asio::awaitable<bool> tell_death() {
    ApiReply reply;
    reply.status = 500;
    reply.body = kDead;
    co_return co_await write_reply(reply);
  }

  asio::awaitable<bool> write_stream(std::shared_ptr<PendingCall> pending) {
    const bool chunked = version_ >= 11;
    keep_alive_ = keep_alive_ && chunked;  // HTTP/1.0 knows the end only by the connection's
    http::response<http::empty_body> head{http::status::ok, version_};
    head.set(http::field::content_type, "text/event-stream; charset=utf-8");
    head.keep_alive(keep_alive_);
    head.chunked(chunked);
    http::response_serializer<http::empty_body> serializer{head};
    auto [head_error, head_bytes] = co_await http::async_write_header(stream_, serializer, kUse);
    bool failed = bool(head_error);
    while (!failed) {
      if (std::exchange(pending->failed, false)) {
        // As vLLM ends a stream then.
        pending->events += "data: " + std::string(kDead) + "\n\ndata: [DONE]\n\n";
        pending->done = true;
      }
      const bool last = pending->done;
      if (!last && !pending->client_gone && pending->events.empty()) {
        co_await pending->changed.async_wait(kUse);
        continue;
      }
      if (pending->client_gone) break;
      const std::string events = std::exchange(pending->events, {});
      if (!events.empty()) failed = !co_await write_events(events, chunked);
      if (last && pending->events.empty()) break;
    }
    if (failed || pending->client_gone) {
      engine_.driver.cancel(*pending);
      co_return false;
    }
    if (chunked) {
      auto [error, bytes] = co_await asio::async_write(stream_, http::make_chunk_last(), kUse);
      failed = bool(error);
    }
    co_return keep_alive_ && !failed;
  }

  asio::awaitable<bool> write_events(const std::string& events, bool chunked) {
    if (!chunked) {
      auto [error, bytes] = co_await asio::async_write(stream_, asio::buffer(events), kUse);
      co_return !error;
    }
    auto [error, bytes] =
        co_await asio::async_write(stream_, http::make_chunk(asio::buffer(events)), kUse);
    co_return !error;
  }

  asio::awaitable<bool> write_reply(ApiReply& reply) {
    http::response<http::string_body> message{static_cast<http::status>(reply.status), version_};
    if (!reply.body.empty()) message.set(http::field::content_type, reply.content_type);
    if (!reply.allow.empty()) message.set(http::field::allow, reply.allow);
    if (!reply.location.empty()) message.set(http::field::location, reply.location);
    message.keep_alive(keep_alive_);
    message.body() = std::move(reply.body);
    message.prepare_payload();
    auto [error, bytes] = co_await http::async_write(stream_, message, kUse);
    co_return keep_alive_ && !error;
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  Engine& engine_;
  std::uint64_t served_ = 0;
  bool keep_alive_ = true;
  unsigned version_ = 11;
};

// A client that misbehaves ends its own connection, not the server.
void report(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "connection closed: %s\n", failure.what());
  }
}

asio::awaitable<void> run_session(std::shared_ptr<Session> session) {
  co_await session->run();
}

}  // namespace

class SimServer::Impl {
 public:
  explicit Impl(SimServerOptions options)
      : acceptor_(io_), signals_(io_), engine_(std::move(options), io_.get_executor()) {
    const tcp::endpoint endpoint(asio::ip::make_address(engine_.options.host),
                                 engine_.options.port);
    acceptor_.open(endpoint.protocol());
    acceptor_.set_option(tcp::acceptor::reuse_address(true));
    acceptor_.bind(endpoint);
  }

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  void run(std::vector<LoadStep> load) {
    if (engine_.options.stop_on_signals) {
      signals_.add(SIGTERM);
      signals_.add(SIGINT);
      signals_.async_wait([this](const beast::error_code& error, int) {
        if (!error) io_.stop();
      });
    }
    asio::co_spawn(io_, load_and_accept(std::move(load)), rethrow);
    io_.run();
  }

  void stop() { io_.stop(); }

 private:
  static void rethrow(std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  }

  asio::awaitable<void> load_and_accept(std::vector<LoadStep> load) {
    const auto begin = std::chrono::steady_clock::now();
    asio::steady_timer timer(io_);
    for (const LoadStep& step : load) {
      timer.expires_at(begin + std::chrono::ceil<std::chrono::nanoseconds>(step.after));
      co_await timer.async_wait(kUse);
      // Whoever reads the last line may connect at once.
      if (&step == &load.back()) acceptor_.listen(kBacklog);
      step.action();
    }
    if (load.empty()) acceptor_.listen(kBacklog);
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(kUse);
      if (error) {
        // Out of file descriptors, or the client left: wait a moment instead of spinning.
        timer.expires_after(std::chrono::milliseconds(10));
        co_await timer.async_wait(kUse);
        continue;
      }
      asio::co_spawn(io_, run_session(std::make_shared<Session>(std::move(socket), engine_)),
                     report);
    }
  }

  // First in, so last out: destroying it ends the sessions, which refer to nothing of ours then.
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  Engine engine_;
};

SimServer::SimServer(SimServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

SimServer::~SimServer() = default;

std::uint16_t SimServer::port() const {
  return impl_->port();
}

void SimServer::run(std::vector<LoadStep> load) {
  impl_->run(std::move(load));
}

void SimServer::stop() {
  impl_->stop();
}

}  // namespace batchproxy::sim
