// backends/call/control_stream.h - ControlStream: the control thread's own connections to backends,
// for probes and orders. Clients' requests go through ConnectionPool.
//
// Each connection carries one request: connect_in_turn(), then get_page(), post_json() or
// delete_page().
//
// Threading: the io_context's own thread.
#pragma once

#include <cstddef>
#include <string>

#include <boost/beast/core/tcp_stream.hpp>

#include "backends/call/http_client.h"
#include "backends/names/addresses.h"
#include "backends/names/endpoint.h"
#include "backends/net/task.h"

namespace batchproxy {

using ControlStream = boost::beast::basic_stream<asio::ip::tcp, IoExecutor>;

// Tries the addresses in turn; the error is that of the first. The exchange that follows on the
// stream must end within `patience` of this call, too.
Task<ErrorCode> connect_in_turn(ControlStream& stream, Addresses addresses, Duration patience);

struct ControlReply {
  ErrorCode error{};      // why there is no answer
  std::string problem{};  // and what is wrong with its TLS, if that is why, and what to do
  unsigned status = 0;
  std::string body{};
  std::string retry_after{};  // as it was sent
};
// One exchange with the endpoint's own key. `stream` and `at` must outlive it. An answer may have
// `most` bytes.
Task<ControlReply> get_page(ControlStream& stream, const Endpoint& at, std::string target,
                            std::size_t most);
// `fields` go along.
Task<ControlReply> post_json(ControlStream& stream, const Endpoint& at, std::string target,
                             std::string json, std::size_t most, HttpFields fields = {});

// DELETE, which answers like a page.
Task<ControlReply> delete_page(ControlStream& stream, const Endpoint& at, std::string target,
                               std::size_t most);

// Whether the error says that time was up.
bool is_silence(const ErrorCode& error);
// The error for people: "no answer in time", or the system's word.
std::string why_no_reply(const ErrorCode& error);
std::string why_no_reply(const ControlReply& reply);

}  // namespace batchproxy
