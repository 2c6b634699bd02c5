// backends/call/http_client.cc - see http_client.h.
#include "backends/call/http_client.h"

#include <cerrno>
#include <stdexcept>

#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <sys/socket.h>

namespace batchproxy {

namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {
constexpr std::uint64_t kMaxBody = 256u << 20;

HttpReply no_reply(std::string why, bool lost) {
  HttpReply reply;
  reply.body = std::move(why);
  reply.lost = lost;
  return reply;
}

std::string value_of(const http::response<http::string_body>& answer, std::string_view name) {
  const auto field = answer.find(boost::beast::string_view(name.data(), name.size()));
  return field == answer.end() ? "" : std::string(field->value());
}

// A kept connection on which something arrives between two requests is over: what arrives is its
// end.
bool is_over(asio::ip::tcp::socket::native_handle_type fd) {
  char byte = 0;
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}
}  // namespace

struct HttpClient::Connection {
  explicit Connection(asio::io_context& io) : stream(io.get_executor()) {}
  beast::basic_stream<asio::ip::tcp, IoExecutor> stream;
  beast::flat_buffer buffer;
};

Url parse_url(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) throw std::runtime_error(std::string(url) + " is not http://…");
  url.remove_prefix(kScheme.size());
  while (url.ends_with('/')) url.remove_suffix(1);
  if (url.ends_with("/v1")) url.remove_suffix(3);
  const std::size_t colon = url.rfind(':');
  if (colon == std::string_view::npos) return {std::string(url), "80"};
  return {std::string(url.substr(0, colon)), std::string(url.substr(colon + 1))};
}

HttpFields bearer(std::string_view api_key) {
  if (api_key.empty()) return {};
  return {{"authorization", "Bearer " + std::string(api_key)}};
}

HttpClient::HttpClient(asio::io_context& io, Url url, HttpFields fields,
                       std::chrono::seconds patience)
    : io_(io), url_(std::move(url)), fields_(std::move(fields)), patience_(patience) {}
HttpClient::~HttpClient() = default;

void HttpClient::cancel() {
  cancelled_ = true;
  if (connection_) connection_->stream.cancel();
}

Task<HttpReply> HttpClient::request(std::string path, std::string body) {
  ErrorCode error;
  if (connection_ && is_over(connection_->stream.socket().native_handle())) connection_.reset();
  if (cancelled_) co_return no_reply("cancelled", false);
  if (!connection_) {
    asio::ip::basic_resolver<asio::ip::tcp, IoExecutor> resolver(io_.get_executor());
    const auto found = co_await resolver.async_resolve(url_.host, url_.port,
                                                       asio::redirect_error(use_task, error));
    if (error) co_return no_reply("cannot find " + url_.host + ": " + error.message(), false);
    if (cancelled_) co_return no_reply("cancelled", false);
    connection_ = std::make_unique<Connection>(io_);
    connection_->stream.expires_after(patience_);
    co_await connection_->stream.async_connect(found, asio::redirect_error(use_task, error));
    if (error || cancelled_) {
      connection_.reset();
      co_return no_reply("cannot connect: " + error.message(), false);
    }
    connection_->stream.socket().set_option(asio::ip::tcp::no_delay(true), error);
  }
  http::request<http::string_body> message(body.empty() ? http::verb::get : http::verb::post, path,
                                           11);
  message.set(http::field::host, url_.host + ":" + url_.port);
  for (const auto& [name, value] : fields_) message.set(name, value);
  if (!body.empty()) {
    message.set(http::field::content_type, "application/json");
    message.body() = std::move(body);
    message.prepare_payload();
  }
  connection_->stream.expires_after(patience_);
  co_await http::async_write(connection_->stream, message, asio::redirect_error(use_task, error));
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxBody);
  if (!error && cancelled_) error = asio::error::operation_aborted;
  if (!error) {
    co_await http::async_read(connection_->stream, connection_->buffer, parser,
                              asio::redirect_error(use_task, error));
  }
  if (error) {
    connection_.reset();
    co_return no_reply("the connection failed: " + error.message(), true);
  }
  auto answer = parser.release();
  if (!answer.keep_alive()) connection_.reset();
  HttpReply reply;
  reply.status = answer.result_int();
  reply.body = std::move(answer.body());
  reply.backend = value_of(answer, "x-batchproxy-backend");
  reply.batch = value_of(answer, "x-batchproxy-batch");
  reply.retry_after = value_of(answer, "retry-after");
  co_return reply;
}

}  // namespace batchproxy
