// proxy/admin/admin.cc - see admin.h.
#include "proxy/admin/admin.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <spdlog/spdlog.h>

#include "configs/text/nearest_name.h"
#include "proxy/admin/record_query.h"
#include "proxy/files/query.h"
#include "proxy/trace/record_text.h"
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

// Fills `response`, which is 200 and text.
using Act = Task<void> (*)(const Request&, const AdminHooks&, Response&);

struct AdminRoute {
  std::string_view method;
  std::string_view path;
  Act act;
  bool open = false;  // needs no key
};

void fill(Response& response, unsigned status, std::string json) {
  response.result(status);
  response.set(http_::field::content_type, "application/json");
  response.body() = std::move(json);
}

std::string_view path_of(const Request& request) {
  return {request.target().data(), request.target().size()};
}

Task<void> show_life(const Request&, const AdminHooks&, Response& response) {
  response.body() = "ok\n";
  co_return;
}

Task<void> show_readiness(const Request&, const AdminHooks& hooks, Response& response) {
  const Snapshot now = hooks.snapshot();
  const bool ready = now.any_ready() && !now.draining;
  if (!ready) response.result(http_::status::service_unavailable);
  response.body() = ready ? "ready\n" : now.draining ? "draining\n" : "no backend is ready\n";
  co_return;
}

Task<void> show_status(const Request&, const AdminHooks& hooks, Response& response) {
  fill(response, 200, to_json(hooks.snapshot()));
  co_return;
}

Task<void> show_metrics(const Request&, const AdminHooks& hooks, Response& response) {
  response.set(http_::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
  response.body() = to_prometheus(hooks.snapshot());
  co_return;
}

// `?flush=fixed&batch_size=8` tries these keys until the next reload.
Task<void> reload(const Request& request, const AdminHooks& hooks, Response& response) {
  const ReloadReport report = hooks.reload(query_values(path_of(request)));
  if (!report.ok) response.result(http_::status::bad_request);
  for (const std::string& line : report.lines) response.body() += line + "\n";
  co_return;
}

Task<void> drain(const Request&, const AdminHooks& hooks, Response& response) {
  response.result(http_::status::accepted);
  response.body() = "draining\n";
  hooks.drain();
  co_return;
}

Task<void> order_engine(const Request& request, const AdminHooks& hooks, Response& response) {
  const auto order = read_engine_order(path_of(request));
  const Result<std::string> done = hooks.order_engine(*order);
  if (!done) {
    response.result(describe(done.error().code).status);
    response.body() = done.error().message + "\n";
    co_return;
  }
  spdlog::info("ordered: {}", *done);
  response.result(http_::status::accepted);
  response.body() = *done + "\n";
}

// Has the engines do something.
Task<void> order_adapter(const Request& request, const AdminHooks& hooks, Response& response) {
  Result<AdapterOrder> order = read_adapter_order(path_of(request), request.body());
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

// Those that ended last, or one of them.
Task<void> show_requests(const Request& request, const AdminHooks& hooks, Response& response) {
  Result<RecordSearch> search = read_record_search(path_of(request));
  if (!search) {
    const Error& error = search.error();
    co_return fill(response, describe(error.code).status, error_json(error));
  }
  const bool one = search->one;
  const std::vector<RequestRecord> found = co_await hooks.search(*std::move(search));
  const ClockPair clocks{std::chrono::steady_clock::now(), std::chrono::system_clock::now()};
  if (one && found.empty()) {
    response.result(http_::status::not_found);
    response.body() =
        "No request of this id is among those that ended last; one under way is not shown.\n";
    co_return;
  }
  if (one) co_return fill(response, 200, to_json(found.front(), clocks));
  std::string list;
  for (const RequestRecord& record : found) {
    list.append(list.empty() ? "" : ",").append(to_json(record, clocks));
  }
  fill(response, 200, "{\"requests\":[" + list + "]}");
}

constexpr bool kOpen = true;
constexpr std::string_view kRequests =
    "/admin/requests[/ID][?failed][&slow[=SECONDS]][&id=ID][&limit=N]";
constexpr std::string_view kReload = "/admin/reload[?KEY=VALUE&…]";
constexpr std::string_view kEngineOrders =
    "/admin/engines/[ENGINE/]{pause,resume,stop,start,restart}";

constexpr std::array kRoutes = {
    AdminRoute{"GET", "/status", &show_status},
    AdminRoute{"GET", "/metrics", &show_metrics},
    AdminRoute{"GET", "/livez", &show_life, kOpen},  // it tells nothing
    AdminRoute{"GET", "/readyz", &show_readiness},
    AdminRoute{"GET", kRequests, &show_requests},
    AdminRoute{"POST", kReload, &reload},
    AdminRoute{"POST", "/admin/drain", &drain},
    AdminRoute{"POST", kEngineOrders, &order_engine},
    AdminRoute{"POST", kLoadAdapter, &order_adapter},
    AdminRoute{"POST", kUnloadAdapter, &order_adapter},
};

const AdminRoute* find_route(std::string_view path) {
  if (read_engine_order(path)) path = kEngineOrders;
  if (asks_for_requests(path)) path = kRequests;
  if (path.substr(0, path.find('?')) == "/admin/reload") path = kReload;
  const auto it = std::ranges::find(kRoutes, path, &AdminRoute::path);
  return it == kRoutes.end() ? nullptr : &*it;
}

std::string paths_of(std::string_view method) {
  std::vector<std::string_view> paths;
  for (const AdminRoute& route : kRoutes) {
    if (route.method == method) paths.push_back(route.path);
  }
  return join(paths);
}

std::string_view allowed(const AdminRoute& route) {
  return route.method == "GET" ? "GET, HEAD" : route.method;
}

bool takes(const AdminRoute& route, http_::verb method) {
  const std::string_view name = http_::to_string(method);
  return name == route.method || (method == http_::verb::head && route.method == "GET");
}

bool may_ask(const Request& request, const AdminRoute* route, const AdminHooks& hooks) {
  const ApiKeysPtr keys = hooks.keys();
  if (!keys || (route != nullptr && route->open)) return true;
  const auto field = request[http_::field::authorization];
  return keys->find({field.data(), field.size()}) != nullptr;
}

Task<Response> answer(const Request& request, const AdminHooks& hooks) {
  Response response(http_::status::ok, request.version());
  response.keep_alive(request.keep_alive());
  response.set(http_::field::content_type, "text/plain; charset=utf-8");
  const AdminRoute* route = find_route(path_of(request));
  if (!may_ask(request, route, hooks)) {
    response.result(http_::status::unauthorized);
    response.set(http_::field::www_authenticate, "Bearer");
    response.body() =
        "The admin address needs an API key. Send it as `Authorization: Bearer <key>`.\n";
  } else if (route == nullptr) {
    response.result(http_::status::not_found);
    response.body() = "The admin address has no such path. GET takes " + paths_of("GET") +
                      "; POST takes " + paths_of("POST") + ".\n";
  } else if (route->method == "POST" && request.count(http_::field::origin) > 0) {
    // A browser sends what a form could send without asking first, and loopback asks for no key.
    response.result(http_::status::forbidden);
    response.body() =
        "Web pages may not use this path. Use a program that sends no Origin field.\n";
  } else if (!takes(*route, request.method())) {
    response.result(http_::status::method_not_allowed);
    response.set(http_::field::allow, allowed(*route));
    response.body() =
        std::string(route->path) + " takes " + std::string(route->method) + " only.\n";
  } else {
    co_await route->act(request, hooks, response);
  }
  response.prepare_payload();
  if (request.method() == http_::verb::head) response.body().clear();  // and content-length stays
  co_return response;
}

// `stream` must outlive it.
template <class S>
Task<void> serve(S& stream, std::shared_ptr<const AdminHooks> hooks) {
  auto& socket = beast::get_lowest_layer(stream);
  beast::flat_buffer buffer(kMaxBuffer);
  while (true) {
    socket.expires_after(kIdle);
    Request request;
    ErrorCode error;
    co_await http_::async_read(stream, buffer, request, asio::redirect_error(use_task, error));
    if (error) break;
    socket.expires_never();  // engines take their time
    Response response = co_await answer(request, *hooks);
    socket.expires_after(kIdle);
    co_await http_::async_write(stream, response, asio::redirect_error(use_task, error));
    if (error || !response.keep_alive()) break;
  }
}

Task<void> serve_one(Stream stream, std::shared_ptr<const AdminHooks> hooks) {
  const TlsContextPtr tls = hooks->tls();
  if (!tls) {
    co_await serve(stream, hooks);
    co_return;
  }
  SSL_CTX_up_ref(tls->get());
  asio::ssl::context context(tls->get());  // gives back what was taken
  asio::ssl::stream<Stream&> secured(stream, context);
  stream.expires_after(kIdle);
  ErrorCode error;
  co_await secured.async_handshake(asio::ssl::stream_base::server,
                                   asio::redirect_error(use_task, error));
  if (!error) co_await serve(secured, hooks);
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
