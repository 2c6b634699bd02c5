// proxy/dispatch.h - Dispatch: one request's way from a client through the lane and a backend, and
// the answer's way back.
//
//   scan the body ─▶ ticket ─▶ wait for the verdict ─▶ call the backend ─▶ answer the client
//                      ▲                                     │
//                      └── once more, elsewhere, if the backend died before its answer was whole
//
// Exactly one answer is written, whatever happens, unless the client leaves first.
//
// Threading: confined to one I/O thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "backends/http/connection.h"
#include "backends/http/waiter.h"
#include "backends/upstream_call.h"
#include "batcher/ticket.h"
#include "proxy/io_thread.h"
#include "proxy/reply.h"
#include "proxy/router.h"

namespace batchproxy {

// A request that has been received whole. Views stay valid while it is being answered.
struct ClientRequest {
  const Route* route = nullptr;
  std::string_view target;
  std::string_view authorization;
  std::string_view body;
  bool scannable = true;   // the body is plain JSON, not compressed
  std::string fields;      // what is passed on of its header, as ready lines
  std::string request_id;  // the client's own, if it gave one
  std::string unique_id;   // of this process, for the ids that backends see
  TimePoint arrival{};
  Duration timeout{};  // how long its client, or we, give it
  int minor_version = 1;
  bool keep_alive = true;
};

class Dispatch final : private VerdictSink {
 public:
  static constexpr unsigned kMaxAttempts = 2;

  Dispatch(IoThread& thread, Connection& client, const ClientRequest& request);
  ~Dispatch();
  Dispatch(const Dispatch&) = delete;
  Dispatch& operator=(const Dispatch&) = delete;

  // Answers the request. True when the client's connection can be used again.
  Task<bool> run();

 private:
  enum class Phase { kIdle, kQueued, kCalling };

  Task<Finish> serve();
  void complete(bool ok);
  std::optional<Error> make_ticket();
  Task<void> verdict();
  void withdraw();
  void on_returned(Ticket& ticket) override;
  void on_client_gone();

  // One attempt at the granted backend; nothing means "try again".
  Task<std::optional<Finish>> attempt();
  Task<Finish> answer_whole(UpstreamCall& call);
  Task<Finish> answer_streaming(UpstreamCall& call);
  Task<bool> write_client(std::span<const asio::const_buffer> buffers);
  Task<bool> write_client(std::string_view bytes);
  Task<void> end_broken_stream(CallFailure failure);
  Task<Finish> refuse(Error error);
  Task<Finish> refuse(CallFailure failure);

  // For an answer of which the client has seen nothing.
  bool may_retry(CallFailure failure) const;
  ReplyContext context() const;
  Provenance provenance() const;
  void enter(Phase phase);

  IoThread& thread_;
  Connection& client_;
  const ClientRequest& request_;
  Ticket ticket_;
  Waiter waiter_;
  unsigned with_lane_ = 0;        // how often the ticket has still to come back
  bool granted_ = false;          // and not completed yet
  UpstreamCall* call_ = nullptr;  // while one is under way
  unsigned attempts_ = 0;
  bool began_answer_ = false;
  bool client_gone_ = false;
  bool keep_alive_;
  Phase phase_ = Phase::kIdle;
};

}  // namespace batchproxy
