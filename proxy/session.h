// proxy/session.h - Session: one client connection, request after request, until it ends.
//
// Threading: confined to the I/O thread that accepted the client, for its whole life.
#pragma once

#include <optional>

#include "backends/http/connection.h"
#include "proxy/dispatch.h"
#include "proxy/io_thread.h"

namespace batchproxy {

namespace http {
class BodyReader;
}

class Session final : public Closable, private IdleClient {
 public:
  // Takes over a place that the client has got from the thread's ClientCap.
  Session(IoThread& thread, Connection::Ptr connection);
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Serves the connection until it closes.
  Task<void> run();

  void close_if_idle() override;
  void cut_short() override;
  void close_now() override { connection_->close(Connection::Closed::kByPeer); }

 private:
  void close_idle() override;
  Task<bool> wait_for_request();
  Task<bool> serve_one();
  // Why it is refused by what its head says.
  std::optional<Error> examine(const http::RequestHead& head, ClientRequest& request);
  // Reads one head; false means that the connection is done with. On success the head is in the
  // thread's scratch and pos_ is behind it.
  Task<bool> read_head();
  Task<bool> serve_parsed();
  Task<bool> reject(const Error& error, std::string_view request_id = {},
                    std::string_view allow = {});
  Task<bool> write_last(std::string answer);
  Task<bool> give_up_reading();
  Task<bool> reply_local(const Route& route, const ClientRequest& request);
  ClientRequest describe_request(const http::RequestHead& head) const;
  bool identify(const http::RequestHead& head, ClientRequest& request);
  void fit_buffers(http::BodyReader& body, ClientRequest& request);

  IoThread& thread_;
  const Connection::Ptr connection_;
  std::uint64_t address_key_ = 0;  // of the client's address
  Buffer in_;
  std::size_t pos_ = 0;  // bytes of in_ dealt with
  TimePoint idle_since_{};
  bool in_request_ = false;
  Dispatch* dispatch_ = nullptr;  // of the request being answered
};

}  // namespace batchproxy
