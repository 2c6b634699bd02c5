// proxy/request/reply_writer.h - ReplyWriter: writes the answer to one request to its client, and
// knows whether the client's connection can be used again.
//
// Nearly always the socket takes all that there is at once, and nothing is waited for: what is left
// otherwise is an Unsent, for write_rest().
//
// Threading: confined to one I/O thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "backends/net/connection.h"
#include "proxy/jobs/record_store.h"
#include "proxy/thread/io_thread.h"
#include "proxy/trace/request_trace.h"
#include "proxy/wire/client_request.h"
#include "proxy/wire/reply.h"

namespace batchproxy {

class ReplyWriter {
 public:
  // Bytes of which the socket has not taken all. The body must stay where it is.
  struct Unsent {
    std::string head;
    std::string_view body;
    std::size_t sent;  // bytes
  };
  using UnsentPtr = std::unique_ptr<const Unsent>;

  // `trace` is told what is answered, and outlives this.
  ReplyWriter(IoThread& thread, Connection& client, const ClientRequest& request,
              RequestTrace& trace)
      : thread_(thread),
        client_(client),
        request_(request),
        trace_(trace),
        keep_alive_(request.keep_alive) {}
  ReplyWriter(const ReplyWriter&) = delete;
  ReplyWriter& operator=(const ReplyWriter&) = delete;

  // A backend's answer, whole. `client_.on_peer_gone()` is over then.
  UnsentPtr send_answer(const AnswerHead& from, std::string_view body, const Provenance& who);
  // How a request ends whose answer has been written, or could not be.
  Finish finish_answered(const AnswerHead& answer, std::uint32_t prompts);

  // The head of a stream, with the first part or by write(), then parts of its body: chunks, or plain bytes for an HTTP/1.0 client.
  std::string compose_stream_head(const AnswerHead& from, const Provenance& who);
  UnsentPtr send_chunk(std::string_view bytes, std::string_view head = {});
  Task<bool> write_last_chunk();
  // False when the client has gone.
  Task<bool> write(std::string_view bytes);

  // An error of ours instead of an answer.
  Task<Finish> refuse(const Error& error);

  // A client that does not read for `write_stall` is cut off; one that waits for us is not.
  Task<void> write_rest(const Unsent& unsent);

  // A good answer that send_answer() gets is copied to `record`, which outlives this.
  void record_in(Recorded& record) { record_ = &record; }

  // A stream that has begun ends with an error.
  void note_broken(Errc code) { trace_.error = code; }
  void close_afterwards() { keep_alive_ = false; }
  bool can_go_on() const { return client_.is_open() && keep_alive_; }
  bool is_open() const { return client_.is_open(); }
  bool has_begun() const { return began_; }

 private:
  ReplyContext context();
  void record(const AnswerHead& from, std::string_view body, const Provenance& who);
  bool is_chunked() const { return request_.minor_version == 1; }
  Task<Finish> write_refusal(std::string answer, Finish finish);

  IoThread& thread_;
  Connection& client_;
  const ClientRequest& request_;
  RequestTrace& trace_;
  Recorded* record_ = nullptr;
  bool keep_alive_;
  bool began_ = false;
};

}  // namespace batchproxy
