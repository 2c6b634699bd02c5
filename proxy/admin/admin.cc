// proxy/admin/admin.cc - see admin.h.
#include "proxy/admin/admin.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "configs/text/nearest_name.h"
#include "proxy/admin/browser_guard.h"
#include "proxy/admin/record_query.h"
#include "proxy/files/query.h"
#include "proxy/jobs/json_line.h"
#include "proxy/limits/client_cap.h"
#include "proxy/trace/record_text.h"
#include "proxy/ui/ui_page.h"
#include "proxy/wire/reply.h"

namespace batchproxy {

namespace beast = boost::beast;
namespace http_ = boost::beast::http;

namespace {

using Request = http_::request<http_::string_body>;
using Response = http_::response<http_::string_body>;
using Stream = beast::basic_stream<asio::ip::tcp, IoExecutor>;

constexpr Duration kIdle = std::chrono::seconds(30);
constexpr std::size_t kMaxBuffer = 16 * 1024;               // a head, or a part of a body
constexpr Duration kSlowReader = std::chrono::seconds(10);  // for what a stream has sent
constexpr int kStreamBuffer = 64 * 1024;  // in the kernel: what a reader may be behind
constexpr Duration kTurnedAway = std::chrono::seconds(1);
// Of the descriptors that there are, the admin address takes a quarter at most.
constexpr std::size_t kFewestConnections = 32;
constexpr std::size_t kMostConnections = 512;
constexpr std::string_view kEvents = "text/event-stream";
constexpr std::size_t kRequestsShown = 20;  // on the page, of each kind

// Fills `response`, which is 200 and text.
using Act = Task<void> (*)(const Request&, const AdminHooks&, Response&);

struct AdminRoute {
  std::string_view method;
  std::string_view path;
  Act act;
  bool open = false;      // needs no key
  bool for_page = false;  // of a POST: the page at /ui may send it
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

// The page alone: it tells nothing, and asks for a key where one is needed.
Task<void> show_page(const Request& request, const AdminHooks&, Response& response) {
  const UiPage& page = ui_page();
  response.set(http_::field::etag, page.etag);
  response.set(http_::field::cache_control, "no-cache");
  response.set("Content-Security-Policy", page.policy);
  response.set("Cross-Origin-Opener-Policy", "same-origin");
  response.set("Referrer-Policy", "no-referrer");
  response.set(http_::field::content_type, "text/html; charset=utf-8");
  if (request[http_::field::if_none_match] == page.etag) {
    response.result(http_::status::not_modified);
  } else {
    response.body() = page.html;
  }
  co_return;
}

// What follows the head is send_events()'.
Task<void> begin_events(const Request& request, const AdminHooks& hooks, Response& response) {
  if (hooks.feed->has_room()) {
    response.set(http_::field::content_type, kEvents);
    if (request.method() == http_::verb::get) response.keep_alive(false);  // it has no other end
    co_return;
  }
  response.result(http_::status::service_unavailable);
  response.keep_alive(false);
  response.set(http_::field::retry_after, "10");
  response.body() = "All " + std::to_string(hooks.feed->most()) +
                    " streams of /ui/events are in use. Close a page that shows /ui, or ask "
                    "GET /status instead.\n";
}

Task<void> show_config(const Request&, const AdminHooks& hooks, Response& response) {
  fill(response, 200, hooks.config());
  co_return;
}

std::string list_of(const std::vector<RequestRecord>& records) {
  const ClockPair clocks{std::chrono::steady_clock::now(), std::chrono::system_clock::now()};
  std::string list;
  for (const RequestRecord& record : records) {
    list.append(list.empty() ? "" : ",").append(to_json(record, clocks));
  }
  return "[" + list + "]";
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
  if (one && found.empty()) {
    response.result(http_::status::not_found);
    response.body() =
        "No request of this id is among those that ended last; one under way is not shown.\n";
    co_return;
  }
  const ClockPair clocks{std::chrono::steady_clock::now(), std::chrono::system_clock::now()};
  if (one) co_return fill(response, 200, to_json(found.front(), clocks));
  fill(response, 200, "{\"requests\":" + list_of(found) + "}");
}

constexpr bool kOpen = true;
constexpr bool kKeyed = false;
constexpr bool kForPage = true;
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
    AdminRoute{"GET", "/ui", &show_page, kOpen},  // nor does it
    AdminRoute{"GET", "/ui/events", &begin_events},
    AdminRoute{"GET", kRequests, &show_requests},
    AdminRoute{"GET", "/admin/config", &show_config},
    AdminRoute{"POST", kReload, &reload},
    AdminRoute{"POST", "/admin/drain", &drain},
    AdminRoute{"POST", kEngineOrders, &order_engine, kKeyed, kForPage},
    AdminRoute{"POST", kLoadAdapter, &order_adapter},
    AdminRoute{"POST", kUnloadAdapter, &order_adapter},
};

const AdminRoute* find_route(std::string_view path) {
  if (read_engine_order(path)) path = kEngineOrders;
  if (asks_for_requests(path)) path = kRequests;
  // A query that nobody asks for is none of our business.
  if (const auto it = std::ranges::find(kRoutes, path, &AdminRoute::path); it != kRoutes.end()) {
    return &*it;
  }
  path = path.substr(0, path.find('?'));
  if (path == "/admin/reload") path = kReload;
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

bool is_stream(const Request& request, const Response& response) {
  return response[http_::field::content_type] == kEvents && request.method() == http_::verb::get;
}

bool may_ask(const Request& request, const AdminRoute* route, const AdminHooks& hooks) {
  const ApiKeysPtr keys = hooks.keys();
  if (!keys || (route != nullptr && route->open)) return true;
  const auto field = request[http_::field::authorization];
  return keys->find({field.data(), field.size()}) != nullptr;
}

std::string_view field(const Request& request, std::string_view name) {
  const auto value = request[beast::string_view(name.data(), name.size())];
  return {value.data(), value.size()};
}

std::string own_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

AskedOf what_is_asked(const AdminRoute* route, const AdminHooks& hooks) {
  static const std::string name = own_name();
  const bool order = route != nullptr && route->method == "POST";
  return {.order = order,
          .for_page = route != nullptr && (!order || route->for_page),
          .tells = route == nullptr || !route->open,
          .loopback = hooks.loopback,
          .keyed = hooks.keys() != nullptr,  // and may_ask()
          .own_name = name};
}

std::optional<std::string> refusal(const Request& request, const AdminRoute* route,
                                   const AdminHooks& hooks) {
  const AskedBy asker{.host = field(request, "host"),
                      .origin = field(request, "origin"),
                      .site = field(request, "sec-fetch-site"),
                      .mode = field(request, "sec-fetch-mode"),
                      .dest = field(request, "sec-fetch-dest"),
                      .language = field(request, "accept-language"),
                      .agent = field(request, "user-agent")};
  return refuse_browser(asker, what_is_asked(route, hooks));
}

Task<Response> answer(const Request& request, const AdminHooks& hooks) {
  Response response(http_::status::ok, request.version());
  response.keep_alive(request.keep_alive());
  response.set(http_::field::content_type, "text/plain; charset=utf-8");
  response.set(http_::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  response.set("Cross-Origin-Resource-Policy", "same-origin");
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
  } else if (const auto why = refusal(request, route, hooks)) {
    response.result(http_::status::forbidden);
    response.body() = *why + "\n";
  } else if (!takes(*route, request.method())) {
    response.result(http_::status::method_not_allowed);
    response.set(http_::field::allow, allowed(*route));
    response.body() =
        std::string(route->path) + " takes " + std::string(route->method) + " only.\n";
  } else {
    co_await route->act(request, hooks, response);
  }
  if (!is_stream(request, response)) response.prepare_payload();
  if (request.method() == http_::verb::head) response.body().clear();  // and content-length stays
  co_return response;
}

// What the page is told of itself, once.
std::string hello(const AdminHooks& hooks) {
  const AdminRoute* orders = find_route("/admin/engines/restart");
  const auto why = why_read_only(what_is_asked(orders, hooks));
  const std::string data =
      why ? "{\"orders\":false,\"why\":" + json_text(*why) + "}" : R"({"orders":true})";
  return event_text("hello", 0, data);
}

// Sends the picture of each second, until the reader leaves, is too slow or loses its key. `stream`
// must outlive it.
template <class S>
Task<void> send_events(S& stream, const Request& request, Response& response,
                       const AdminHooks& hooks) {
  auto& socket = beast::get_lowest_layer(stream);
  ErrorCode error;
  socket.socket().set_option(asio::socket_base::send_buffer_size(kStreamBuffer), error);
  // A timer as bell: unlike a Waiter it lets go of us when the loop ends before we do.
  asio::steady_timer bell(socket.get_executor());
  StatusFeed::Stream events(*hooks.feed, [&bell] { bell.cancel(); });
  http_::response_serializer<http_::string_body> head(response);
  socket.expires_after(kSlowReader);
  co_await http_::async_write_header(stream, head, asio::redirect_error(use_task, error));
  const std::string first = hello(hooks);
  if (!error) {
    co_await asio::async_write(stream, asio::buffer(first), asio::redirect_error(use_task, error));
  }
  const AdminRoute* route = find_route(path_of(request));
  while (!error && may_ask(request, route, hooks)) {
    const std::vector<StatusFeed::Frame> frames = events.take();
    std::vector<asio::const_buffer> bytes;
    for (const StatusFeed::Frame& frame : frames) bytes.push_back(asio::buffer(*frame));
    socket.expires_after(kSlowReader);
    co_await asio::async_write(stream, bytes, asio::redirect_error(use_task, error));
    if (error) break;
    socket.expires_never();
    if (events.has_news()) continue;
    bell.expires_at(TimePoint::max());
    ErrorCode rung;
    co_await bell.async_wait(asio::redirect_error(use_task, rung));
  }
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
    if (is_stream(request, response)) {
      co_await send_events(stream, request, response, *hooks);
      break;
    }
    socket.expires_after(kIdle);
    co_await http_::async_write(stream, response, asio::redirect_error(use_task, error));
    if (error || !response.keep_alive()) break;
  }
}

// Counts a connection for as long as it lives.
class Connected {
 public:
  explicit Connected(std::shared_ptr<std::size_t> count) : count_(std::move(count)) { ++*count_; }
  ~Connected() {
    if (count_) --*count_;
  }
  Connected(Connected&&) = default;
  Connected& operator=(Connected&&) = delete;

 private:
  std::shared_ptr<std::size_t> count_;
};

// Reads what it asks, so that our word is not lost with an unread request.
Task<void> turn_away(Stream stream, [[maybe_unused]] Connected counted) {
  stream.expires_after(kTurnedAway);
  std::array<char, 4096> ignored{};
  ErrorCode error;
  co_await stream.async_read_some(asio::buffer(ignored), asio::redirect_error(use_task, error));
  if (error) co_return;
  static constexpr std::string_view kAnswer =
      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 10\r\n"
      "Connection: close\r\nContent-Length: 56\r\n\r\n"
      "The admin address has too many connections. Close some.\n";
  co_await asio::async_write(stream, asio::buffer(kAnswer), asio::redirect_error(use_task, error));
}

Task<void> serve_one(Stream stream, std::shared_ptr<const AdminHooks> hooks,
                     [[maybe_unused]] Connected counted) {
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

Task<std::string> requests_for_page(
    std::function<Task<std::vector<RequestRecord>>(RecordSearch)> search) {
  RecordSearch failed;
  failed.failed = true;
  failed.limit = kRequestsShown;
  RecordSearch slow;
  slow.slow = true;
  slow.limit = kRequestsShown;
  const std::vector<RequestRecord> lost = co_await search(failed);
  const std::vector<RequestRecord> late = co_await search(slow);
  co_return "{\"failed\":" + list_of(lost) + ",\"slow\":" + list_of(late) + "}";
}

Task<void> serve_admin(asio::io_context& io, Acceptor& acceptor, AdminHooks hooks) {
  // Sessions outlive this coroutine.
  const auto shared = std::make_shared<const AdminHooks>(std::move(hooks));
  const auto open = std::make_shared<std::size_t>(0);
  const std::size_t most =
      std::clamp<std::size_t>(descriptor_limit() / 4, kFewestConnections, kMostConnections);
  while (acceptor.is_open()) {
    Stream::socket_type socket(io.get_executor());
    ErrorCode error;
    co_await acceptor.async_accept(socket, asio::redirect_error(use_task, error));
    if (error == asio::error::operation_aborted || !acceptor.is_open()) break;
    if (error) {
      co_await pause_accepting(io);
      continue;
    }
    while (*open >= 2 * most) co_await pause_accepting(io);  // as many are being told
    const bool has_room = *open < most;
    Connected counted(open);
    Stream stream(std::move(socket));
    if (has_room) {
      asio::co_spawn(io.get_executor(), serve_one(std::move(stream), shared, std::move(counted)),
                     &report);
    } else {
      asio::co_spawn(io.get_executor(), turn_away(std::move(stream), std::move(counted)), &report);
    }
  }
}

}  // namespace batchproxy
