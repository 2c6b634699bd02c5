// proxy/files/service_exchange.h - ServiceExchange: one request, and its answer, on a connection
// that the data path has handed over. Bodies pass through in pieces.
//
// The head was read strictly by the data path already (backends/http/head.h), so Beast reads it
// again with the same result. The connection closes after the answer.
//
// Threading: confined to the service's thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "backends/net/task.h"
#include "batcher/base/error.h"
#include "batcher/base/time.h"
#include "proxy/thread/handed_over.h"

namespace batchproxy {

class ServiceExchange {
 public:
  // `stall`: a client that sends or takes no byte for so long is given up.
  ServiceExchange(asio::io_context& io, HandedOver over, Duration stall);

  // Before anything else; false when there is nobody to answer.
  Task<bool> read_head();
  std::string_view method() const { return method_; }
  std::string_view target() const { return target_; }
  std::string_view path() const;  // without a slash at its end
  std::string_view field(std::string_view name) const;
  const std::string& owner() const { return over_.owner; }

  // The next bytes of the body: how many, 0 at its end; nothing when the client has left.
  Task<std::optional<std::size_t>> read_some(std::span<char> into);
  // All of it; an error when it has more than `most` bytes or does not arrive.
  Task<Result<std::string>> read_all(std::size_t most);

  Task<void> answer(std::string_view json);
  Task<void> reject(const Error& error);
  // For an answer in pieces: its head, then write() for each. False when the client has left.
  // Without `length` the answer ends with end_chunks().
  Task<bool> begin(std::string_view content_type, std::optional<std::size_t> length);
  Task<bool> write(std::string_view bytes);
  Task<bool> write_chunk(std::string_view bytes);
  Task<bool> end_chunks();
  // Ends everything under way, without a last word.
  void cut() { stream_.close(); }
  // Says that the body is wanted, to a client that waits for that. Before begin(), if the body is
  // read after it. False when the client has gone.
  Task<bool> ask_for_body();
  // Whether the client has closed its side, and all that it sent has been read.
  bool peer_gone();
  // Lets the client read our answer although it may still be sending.
  Task<void> close();

 private:
  using Stream = boost::beast::basic_stream<asio::ip::tcp, IoExecutor>;
  using Parser = boost::beast::http::request_parser<boost::beast::http::buffer_body>;

  HandedOver over_;
  const Duration stall_;
  Stream stream_;
  boost::beast::flat_buffer buffer_;
  Parser parser_;
  std::string method_;
  std::string target_;
  bool continue_due_ = false;
};

}  // namespace batchproxy
