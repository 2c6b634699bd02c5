// proxy/edge/session.h - Session: one client connection, request after request, until it ends.
//
// Threading: confined to the I/O thread that accepted the client, for its whole life.
#pragma once

#include <memory>
#include <string>

#include "backends/http/body.h"
#include "backends/net/connection.h"
#include "proxy/request/request_handler.h"
#include "proxy/thread/io_thread.h"

namespace batchproxy {

// What a client is told for which there is no file descriptor.
Error out_of_descriptors();

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
  // Why a request is refused; null: it is not. Apart from the frames of requests that wait, as
  // hardly any is.
  using Refusal = std::unique_ptr<const Error>;
  // How far a part of a request has been read.
  struct Received {
    enum class How { kWhole, kPartial, kClientLeft, kRefused };
    How how = How::kWhole;
    Refusal why{};  // of kRefused

    static Received refused(Error error);
  };
  // An answer of the proxy's own.
  struct Local {
    std::string text;
    bool keep_alive;
    RequestTrace trace{};  // with its status
  };

  bool close_idle() override;
  Task<bool> shake_hands();
  void begin_idling();
  void end_idling();
  Task<bool> serve_one();
  Received take_head(std::size_t& searched);
  bool read_some();
  Refusal find_fault(const http::RequestHead& head, ClientRequest& request);
  Task<Received> read_body(const http::Framing& framing, ByteHold& hold, http::WholeBody& body);
  Task<bool> reject(const Error& error, const ClientRequest* request = nullptr);
  Task<bool> write_last(std::string answer);
  Task<bool> give_up_reading();
  std::unique_ptr<const Local> answer_here(const ClientRequest& request);
  Task<bool> write_local(const ClientRequest& request, const Local& answer);
  Task<bool> answer(RequestHandler& handler, const ClientRequest& request);
  Task<bool> answer_recorded(RequestHandler& handler, const ClientRequest& request);
  Task<bool> decide(const ClientRequest& request, RequestTrace& trace, ByteHold& hold);
  void leave_record(const ClientRequest& request, const RequestTrace& trace);
  Task<bool> hand_over(const ClientRequest& request);
  Descriptor take_socket();
  ClientRequest describe_request(const http::RequestHead& head) const;
  void begin_trace_of(ClientRequest& request) const;
  bool identify(const http::RequestHead& head, ClientRequest& request);
  void fit_buffers(std::size_t start, http::WholeBody& body, ClientRequest& request);

  IoThread& thread_;
  const Connection::Ptr connection_;
  std::uint64_t address_key_ = 0;  // of the client's address
  Buffer in_;
  std::size_t pos_ = 0;  // bytes of in_ dealt with
  TimePoint idle_since_{};
  bool in_request_ = false;
  bool relayed_ = false;                // the connection is another's
  RequestHandler* dispatch_ = nullptr;  // of the request being answered
};

}  // namespace batchproxy
