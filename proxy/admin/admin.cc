// proxy/admin/admin.cc - see admin.h.
#include "proxy/admin/admin.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <spdlog/spdlog.h>

#include "proxy/wire/reply.h"

namespace batchproxy {

namespace beast = boost::beast;
namespace http_ = boost::beast::http;

namespace {

using Request = http_::request<http_::string_body>;
using Response = http_::response<http_::string_body>;
using Stream = beast::basic_stream<asio::ip::tcp, IoExecutor>;

constexpr Duration kIdle = std::chrono::seconds(30);
constexpr std::size_t kMaxBuffer = 16 * 1024;  // a head, or a part of a body

bool may_ask(const Request& request, const AdminHooks& hooks) {
  const ApiKeysPtr keys = hooks.keys();
  if (!keys || request.target() == "/livez") return true;
  const auto field = request[http_::field::authorization];
  return keys->find({field.data(), field.size()}) != nullptr;
}

// Fills `response` for a path that only looks; false if there is no such path.
bool show(std::string_view path, const AdminHooks& hooks, Response& response) {
  if (path == "/livez") {
    response.body() = "ok\n";
  } else if (path == "/readyz") {
    const Snapshot now = hooks.snapshot();
    const bool ready = now.any_ready() && !now.draining;
    if (!ready) response.result(http_::status::service_unavailable);
    response.body() = ready ? "ready\n" : now.draining ? "draining\n" : "no backend is ready\n";
  } else if (path == "/status") {
    response.set(http_::field::content_type, "application/json");
    response.body() = to_json(hooks.snapshot());
  } else if (path == "/metrics") {
    response.set(http_::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
    response.body() = to_prometheus(hooks.snapshot());
  } else {
    return false;
  }
  return true;
}

// The same for a path that does something.
bool act(std::string_view path, const AdminHooks& hooks, Response& response) {
  if (path == "/admin/reload") {
    const ReloadReport report = hooks.reload();
    if (!report.ok) response.result(http_::status::bad_request);
    for (const std::string& line : report.lines) response.body() += line + "\n";
  } else if (path == "/admin/drain") {
    response.result(http_::status::accepted);
    response.body() = "draining\n";
    hooks.drain();
  } else {
    return false;
  }
  return true;
}

void fill(Response& response, unsigned status, std::string json) {
  response.result(status);
  response.set(http_::field::content_type, "application/json");
  response.body() = std::move(json);
}

// The same for a path that has the engines do something.
Task<void> order_engines(std::string_view path, std::string json, const AdminHooks& hooks,
                         Response& response) {
  Result<AdapterOrder> order = read_adapter_order(path, std::move(json));
  if (!order) {
    const Error& error = order.error();
    co_return fill(response, describe(error.code).status, error_json(error));
  }
  const AdapterReport report = co_await hooks.adapters(*std::move(order));
  const unsigned status = report.status();
  spdlog::log(status == 200 ? spdlog::level::info : spdlog::level::warn, "adapter {}: {}",
              report.order.name, report.summary());
  fill(response, status, report.to_json());
}

Task<Response> answer(const Request& request, const AdminHooks& hooks) {
  Response response(http_::status::ok, request.version());
  response.keep_alive(request.keep_alive());
  response.set(http_::field::content_type, "text/plain; charset=utf-8");
  const std::string_view path(request.target().data(), request.target().size());
  const bool orders = is_adapter_path(path);
  const bool posts = orders || path.starts_with("/admin/");
  const bool looks = request.method() == http_::verb::head;
  if (!may_ask(request, hooks)) {
    response.result(http_::status::unauthorized);
    response.set(http_::field::www_authenticate, "Bearer");
    response.body() = "The admin address asks for an API key: Authorization: Bearer <key>.\n";
  } else if (posts && request.count(http_::field::origin) > 0) {
    // A browser sends what a form could send without asking first, and loopback asks for no key.
    response.result(http_::status::forbidden);
    response.body() = "No web page may do that.\n";
  } else if (posts ? request.method() != http_::verb::post
                   : request.method() != http_::verb::get && !looks) {
    response.result(http_::status::method_not_allowed);
    response.set(http_::field::allow, posts ? "POST" : "GET, HEAD");
    response.body() = posts ? "Here it takes POST.\n" : "Here it takes GET.\n";
  } else if (orders) {
    co_await order_engines(path, request.body(), hooks, response);
  } else if (!(posts ? act : show)(path, hooks, response)) {
    response.result(http_::status::not_found);
    response.body() =
        "Here are /status, /metrics, /livez, /readyz, and for POST /admin/reload, /admin/drain, "
        "/v1/load_lora_adapter and /v1/unload_lora_adapter.\n";
  }
  response.prepare_payload();
  if (looks) response.body().clear();  // and content-length stays
  co_return response;
}

Task<void> serve_one(Stream stream, std::shared_ptr<const AdminHooks> hooks) {
  beast::flat_buffer buffer(kMaxBuffer);
  while (true) {
    stream.expires_after(kIdle);
    Request request;
    ErrorCode error;
    co_await http_::async_read(stream, buffer, request, asio::redirect_error(use_task, error));
    if (error) break;
    stream.expires_never();  // engines take their time
    Response response = co_await answer(request, *hooks);
    stream.expires_after(kIdle);
    co_await http_::async_write(stream, response, asio::redirect_error(use_task, error));
    if (error || !response.keep_alive()) break;
  }
}

void report(std::exception_ptr error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    spdlog::error("internal error on the admin address: {}", exception.what());
  }
}

}  // namespace

Task<void> serve_admin(asio::io_context& io, Acceptor& acceptor, AdminHooks hooks) {
  // Sessions outlive this coroutine.
  const auto shared = std::make_shared<const AdminHooks>(std::move(hooks));
  while (acceptor.is_open()) {
    Stream::socket_type socket(io.get_executor());
    ErrorCode error;
    co_await acceptor.async_accept(socket, asio::redirect_error(use_task, error));
    if (error == asio::error::operation_aborted || !acceptor.is_open()) break;
    if (error) {
      co_await pause_accepting(io);
      continue;
    }
    asio::co_spawn(io.get_executor(), serve_one(Stream(std::move(socket)), shared), &report);
  }
}

}  // namespace batchproxy
