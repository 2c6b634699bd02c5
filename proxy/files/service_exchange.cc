// proxy/files/service_exchange.cc - see service_exchange.h.
#include "proxy/files/service_exchange.h"

#include <array>
#include <cerrno>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <fmt/format.h>
#include <sys/socket.h>

#include "proxy/wire/reply.h"

namespace batchproxy {

namespace http_ = boost::beast::http;

namespace {

constexpr std::size_t kMaxHead = 32 * 1024;  // more than the data path takes
constexpr std::size_t kPiece = 64 * 1024;
constexpr Duration kLinger = std::chrono::seconds(2);

asio::ip::tcp family_of(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return address.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4();
}

}  // namespace

ServiceExchange::ServiceExchange(asio::io_context& io, HandedOver over, Duration stall)
    : over_(std::move(over)), stall_(stall), stream_(io.get_executor()) {
  stream_.socket().assign(family_of(over_.socket.get()), over_.socket.get());
  over_.socket.release();
  const std::size_t size = over_.bytes.size();
  asio::buffer_copy(buffer_.prepare(size), asio::buffer(over_.bytes));
  buffer_.commit(size);
  over_.bytes.clear();
  over_.bytes.shrink_to_fit();
  parser_.body_limit(boost::none);
  parser_.header_limit(kMaxHead);
}

Task<bool> ServiceExchange::read_head() {
  ErrorCode error;
  stream_.expires_after(stall_);
  co_await http_::async_read_header(stream_, buffer_, parser_,
                                    asio::redirect_error(use_task, error));
  if (error) co_return false;
  const auto& head = parser_.get();
  method_ = std::string_view(head.method_string().data(), head.method_string().size());
  target_ = std::string_view(head.target().data(), head.target().size());
  continue_due_ = !field("expect").empty();
  co_return true;
}

std::string_view ServiceExchange::path() const {
  std::string_view path = target_;
  path = path.substr(0, path.find('?'));
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

std::string_view ServiceExchange::field(std::string_view name) const {
  const auto value = parser_.get()[boost::beast::string_view(name.data(), name.size())];
  return {value.data(), value.size()};
}

Task<bool> ServiceExchange::ask_for_body() {
  if (!std::exchange(continue_due_, false) || buffer_.size() > 0) co_return true;
  co_return co_await write("HTTP/1.1 100 Continue\r\n\r\n");
}

bool ServiceExchange::peer_gone() {
  char byte = 0;
  const auto got = ::recv(stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

Task<std::optional<std::size_t>> ServiceExchange::read_some(std::span<char> into) {
  if (parser_.is_done()) co_return std::size_t{0};
  const bool asked = co_await ask_for_body();
  if (!asked) co_return std::nullopt;
  auto& body = parser_.get().body();
  std::size_t got = 0;
  while (got == 0 && !parser_.is_done()) {
    body.data = into.data();
    body.size = into.size();
    body.more = true;
    ErrorCode error;
    stream_.expires_after(stall_);
    co_await http_::async_read_some(stream_, buffer_, parser_,
                                    asio::redirect_error(use_task, error));
    if (error && error != http_::error::need_buffer) co_return std::nullopt;
    got = into.size() - body.size;
  }
  co_return got;
}

Task<Result<std::string>> ServiceExchange::read_all(std::size_t most) {
  std::string body;
  std::array<char, 4096> piece;
  while (true) {
    const std::optional<std::size_t> got = co_await read_some(piece);
    if (!got) co_return error_of(Errc::kRequestTimeout);
    if (*got == 0) co_return body;
    body.append(piece.data(), *got);
    if (body.size() > most) {
      co_return Error{Errc::kBodyTooLarge,
                      fmt::format("The request body is larger than {} bytes.", most)};
    }
  }
}

Task<bool> ServiceExchange::write(std::string_view bytes) {
  // In pieces: each that the client takes gives it time for the next.
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPiece);
    bytes.remove_prefix(piece.size());
    ErrorCode error;
    stream_.expires_after(stall_);
    co_await asio::async_write(stream_, asio::buffer(piece.data(), piece.size()),
                               asio::redirect_error(use_task, error));
    if (error) co_return false;
  }
  co_return true;
}

Task<void> ServiceExchange::answer(std::string_view json) {
  const bool begun = co_await begin("application/json", json.size());
  if (begun) co_await write(json);
}

Task<void> ServiceExchange::reject(const Error& error) {
  const ReplyContext context{over_.id, 1, false, over_.cors ? *over_.cors : std::string_view()};
  const std::string text = compose_error(error, context);
  co_await write(text);
}

Task<bool> ServiceExchange::begin(std::string_view content_type,
                                  std::optional<std::size_t> length) {
  const ReplyContext context{over_.id, 1, false, over_.cors ? *over_.cors : std::string_view()};
  AnswerHead head;
  head.status = 200;
  head.content_type = content_type;
  const std::string text = compose_head(head, length, context);
  co_return co_await write(text);
}

Task<bool> ServiceExchange::write_chunk(std::string_view bytes) {
  const std::string chunk = fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
  co_return co_await write(chunk);
}

Task<bool> ServiceExchange::end_chunks() {
  co_return co_await write("0\r\n\r\n");
}

Task<void> ServiceExchange::close() {
  ErrorCode error;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, error);
  std::array<char, 16 * 1024> dropped;
  stream_.expires_after(kLinger);
  while (!error) {
    co_await stream_.async_read_some(asio::buffer(dropped), asio::redirect_error(use_task, error));
  }
  stream_.close();
}

}  // namespace batchproxy
