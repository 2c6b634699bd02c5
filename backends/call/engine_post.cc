// backends/call/engine_post.cc - see engine_post.h.
#include "backends/call/engine_post.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "backends/call/control_stream.h"

namespace batchproxy {

namespace beast = boost::beast;

namespace {

constexpr std::size_t kMaxReply = 1 << 20;  // bytes

EngineReply failed(const ErrorCode& error) {
  return {0, {}, error == beast::error::timeout ? "no answer in time" : error.message()};
}

}  // namespace

Task<EngineReply> post_json(asio::io_context& io, std::shared_ptr<const Endpoint> at,
                            std::string target, std::string json, Duration patience) {
  ControlStream stream(io.get_executor());
  ErrorCode error = co_await connect_in_turn(stream, at->addresses, patience);
  if (error) co_return failed(error);

  beast::http::request<beast::http::string_body> request(beast::http::verb::post, target, 11);
  request.set(beast::http::field::host, at->authority);
  request.set(beast::http::field::content_type, "application/json");
  if (!at->api_key.empty()) request.set(beast::http::field::authorization, "Bearer " + at->api_key);
  request.set(beast::http::field::connection, "close");
  request.body() = std::move(json);
  request.prepare_payload();
  co_await beast::http::async_write(stream, request, asio::redirect_error(use_task, error));
  if (error) co_return failed(error);

  beast::flat_buffer buffer(kMaxReply + 64 * 1024);
  beast::http::response_parser<beast::http::string_body> parser;
  parser.body_limit(kMaxReply);
  co_await beast::http::async_read(stream, buffer, parser, asio::redirect_error(use_task, error));
  if (error) co_return failed(error);
  co_return EngineReply{parser.get().result_int(), std::move(parser.get().body()), {}};
}

}  // namespace batchproxy
