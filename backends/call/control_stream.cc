// backends/call/control_stream.cc - see control_stream.h.
#include "backends/call/control_stream.h"

#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "backends/net/certificate.h"

namespace batchproxy {

namespace beast = boost::beast;

namespace {

using Request = beast::http::request<beast::http::string_body>;

// What came instead of the server's part of a handshake is not TLS.
bool is_plain(const ErrorCode& error) {
  return error.category() == asio::error::get_ssl_category() &&
         ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_WRONG_VERSION_NUMBER;
}

template <class Stream>
Task<ControlReply> exchange_over(Stream& stream, const Endpoint& at, Request request,
                                 std::size_t most) {
  request.set(beast::http::field::host, at.authority);
  if (!at.api_key.empty()) request.set(beast::http::field::authorization, "Bearer " + at.api_key);
  request.set(beast::http::field::connection, "close");
  ControlReply reply;
  co_await beast::http::async_write(stream, request, asio::redirect_error(use_task, reply.error));
  if (reply.error) co_return reply;

  beast::flat_buffer buffer(most + 64 * 1024);
  beast::http::response_parser<beast::http::string_body> parser;
  parser.body_limit(most);
  co_await beast::http::async_read(stream, buffer, parser,
                                   asio::redirect_error(use_task, reply.error));
  if (reply.error) co_return reply;
  reply.status = parser.get().result_int();
  const auto wait = parser.get().find(beast::http::field::retry_after);
  if (wait != parser.get().end()) reply.retry_after = std::string(wait->value());
  reply.body = std::move(parser.get().body());
  co_return reply;
}

Task<ControlReply> exchange(ControlStream& stream, const Endpoint& at, Request request,
                            std::size_t most) {
  if (!at.tls) {
    ControlReply plain = co_await exchange_over(stream, at, std::move(request), most);
    co_return plain;
  }
  SSL_CTX_up_ref(at.tls->get());
  asio::ssl::context context(at.tls->get());  // gives back what was taken
  asio::ssl::stream<ControlStream&> secured(stream, context);
  expect_server(secured.native_handle(), at.server_name);
  ControlReply reply;
  co_await secured.async_handshake(asio::ssl::stream_base::client,
                                   asio::redirect_error(use_task, reply.error));
  if (reply.error) {
    // Which of many reasons it is says more than that it was not believed.
    reply.problem = certificate_problem(secured.native_handle());
    if (reply.problem.empty() && is_plain(reply.error)) {
      reply.problem = "it does not speak TLS: begin its URL with http://";
    }
    co_return reply;
  }
  reply = co_await exchange_over(secured, at, std::move(request), most);
  co_return reply;
}

}  // namespace

Task<ErrorCode> connect_in_turn(ControlStream& stream, Addresses addresses, Duration patience) {
  const TimePoint end = std::chrono::steady_clock::now() + patience;
  ErrorCode failure = asio::error::host_not_found;
  for (std::size_t tried = 0; tried < addresses.size(); ++tried) {
    const TimePoint now = std::chrono::steady_clock::now();
    if (tried > 0 && now >= end) break;
    stream.expires_at(now + share_of(end - now, addresses.size() - tried));
    ErrorCode error;
    co_await stream.async_connect(addresses[tried], asio::redirect_error(use_task, error));
    if (!error) {
      stream.expires_at(end);
      co_return error;
    }
    stream.close();
    if (tried == 0) failure = error;
  }
  co_return failure;
}

Task<ControlReply> get_page(ControlStream& stream, const Endpoint& at, std::string target,
                            std::size_t most) {
  return exchange(stream, at, Request(beast::http::verb::get, target, 11), most);
}

Task<ControlReply> post_json(ControlStream& stream, const Endpoint& at, std::string target,
                             std::string json, std::size_t most, HttpFields fields) {
  Request request(beast::http::verb::post, target, 11);
  for (const auto& [name, value] : fields) request.set(name, value);
  request.set(beast::http::field::content_type, "application/json");
  request.body() = std::move(json);
  request.prepare_payload();
  return exchange(stream, at, std::move(request), most);
}

Task<ControlReply> delete_page(ControlStream& stream, const Endpoint& at, std::string target,
                               std::size_t most) {
  return exchange(stream, at, Request(beast::http::verb::delete_, target, 11), most);
}

bool is_silence(const ErrorCode& error) {
  return error == beast::error::timeout;
}

std::string why_no_reply(const ErrorCode& error) {
  return is_silence(error) ? "no answer in time" : error.message();
}

std::string why_no_reply(const ControlReply& reply) {
  return reply.problem.empty() ? why_no_reply(reply.error) : reply.problem;
}

}  // namespace batchproxy
