// proxy/edge/session.h - Session: one client connection, request after request, until it ends.
//
// Threading: confined to the I/O thread that accepted the client, for its whole life.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "backends/http/body.h"
#include "backends/net/connection.h"
#include "proxy/request/dispatch.h"
#include "proxy/request/io_thread.h"

namespace batchproxy {

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
  bool close_idle() override;
  void begin_idling();
  void end_idling();
  Task<bool> serve_one();
  bool take_head(std::size_t& searched);
  bool read_some();
  bool is_refused(const http::RequestHead& head, ClientRequest& request);
  std::optional<Error> find_fault(const http::RequestHead& head, ClientRequest& request);
  Task<bool> read_body(const http::Framing& framing, ByteHold& hold, http::WholeBody& body);
  Task<bool> reject(const ClientRequest* request = nullptr);
  Task<bool> write_last(std::string answer);
  Task<bool> give_up_reading();
  bool is_forwarded(const ClientRequest& request) const;
  Task<bool> reply_local(const Route& route, const ClientRequest& request);
  Task<bool> reply_no_models(const ClientRequest& request);
  ClientRequest describe_request(const http::RequestHead& head) const;
  bool identify(const http::RequestHead& head, ClientRequest& request);
  void fit_buffers(std::size_t start, http::WholeBody& body, ClientRequest& request);

  IoThread& thread_;
  const Connection::Ptr connection_;
  std::uint64_t address_key_ = 0;  // of the client's address
  Buffer in_;
  std::size_t pos_ = 0;  // bytes of in_ dealt with
  TimePoint idle_since_{};
  bool in_request_ = false;
  Dispatch* dispatch_ = nullptr;  // of the request being answered
  // Why the request that is being read is refused, and what would be allowed instead. Apart, as
  // hardly any connection needs it.
  std::unique_ptr<const Error> fault_;
  std::string_view allow_;
};

}  // namespace batchproxy
