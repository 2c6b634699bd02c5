// backends/call/upstream_call.h - UpstreamCall: one request to one backend, and its answer.
//
// The request is rebuilt from scratch: our own request line and framing, and of the client's fields
// only those that the caller chose. Framing bytes of a client never reach a backend.
//
// Threading: confined to one I/O thread.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "backends/call/answer_head.h"
#include "backends/call/call_failure.h"
#include "backends/call/connection_pool.h"
#include "backends/http/body.h"
#include "backends/http/field_filter.h"
#include "backends/http/head.h"
#include "backends/net/buffer.h"

namespace batchproxy {

// A body as the bytes that it is made of, wherever they are: sent in one gathered write.
struct SplicedBody {
  std::array<std::string_view, 5> parts{};

  SplicedBody() = default;
  SplicedBody(std::string_view whole) : parts{whole} {}
  explicit SplicedBody(const std::array<std::string_view, 5>& from) : parts(from) {}
  std::size_t size() const;
};

struct UpstreamRequest {
  std::string_view method;
  std::string_view target;
  std::string_view fields;         // ready field lines, each ending in CRLF
  std::string_view key_field;      // of the client's key: `authorization`, or `x-api-key`
  std::string_view authorization;  // what stands in it; used when the backend has no key of its own
  std::string_view request_id;     // fresh for every attempt
  std::string_view trace_line;     // `traceparent`, as in `fields`; empty: of no trace
  SplicedBody body;
};

class UpstreamCall {
 public:
  struct Resources {
    ConnectionPool& connections;
    BufferPool& buffers;
    // Shared by the thread's calls, and not held across a suspension.
    http::ResponseHead& head;
    std::string& text;
    std::uint64_t max_answer = 256u << 20;      // bytes
    const http::FieldFilter* passed = nullptr;  // fields of answers for AnswerHead::more
  };

  UpstreamCall(Resources resources, BackendId backend, TimePoint deadline);
  ~UpstreamCall();
  UpstreamCall(const UpstreamCall&) = delete;
  UpstreamCall& operator=(const UpstreamCall&) = delete;

  // Sends `request`, whose views must stay valid, and reads the head of the answer. A kept
  // connection that dies before any answer is replaced by a fresh one, once, and that is not
  // counted as an attempt: nearly always the server had closed it while it was idle (RFC
  // 9112 9.3.1).
  Task<CallFailure> start(const UpstreamRequest& request);
  const AnswerHead& head() const { return head_; }
  // Behind a head whose type is not that of events: whether the body begins as theirs does. What
  // has come of it is still to be read.
  Task<bool> sends_events();
  // Until a byte of the body has come, which is still to be read, or its end: an engine sends a
  // stream's head when it takes the request, long before it begins with it.
  Task<CallFailure> await_body();
  // Not a byte of an answer has come but, perhaps, the head of a stream.
  bool is_silent() const { return head_.status == 0 || awaits_body_; }

  // The whole body into body(): if it has come with the head; by waiting for it.
  bool take_whole();
  Task<CallFailure> read_whole();
  std::string_view body() const { return reader_->body().view; }
  // Behind a whole body that is an answer: its connection may carry another call. Without this it is
  // closed: who sends no proper answer may have counted its bytes wrong, too, and the rest of them,
  // still on their way, would be taken for the next.
  void keep_connection();

  // The body piece by piece: `while (call.must_wait(patience)) co_await call.wait();`, then
  // piece(): an empty one is the end, nothing is a failure: see failure(). A piece may take up to
  // `patience` to come.
  bool must_wait(Duration patience);
  auto wait() { return connection_->wait(); }
  std::optional<std::string_view> piece() const { return piece_; }
  CallFailure failure() const;
  // The fault, if it is a kBadAnswer: of the call, or of an answer that has been read whole.
  AnswerFault fault() const;

  // Closes the connection: a vLLM server aborts the request then. Pending operations end.
  void abort();

 private:
  // How far the reading of an answer's head has come.
  struct HeadProgress {
    std::size_t searched = 0;  // bytes from pos_ on in which it does not end
    int interim = 0;           // 1xx answers so far
  };
  Task<CallFailure> connect(bool sent_before);
  std::optional<std::size_t> send(const UpstreamRequest& request);
  Task<void> send_rest(const UpstreamRequest& request, std::size_t sent);
  std::optional<CallFailure> take_head(HeadProgress& progress);
  void keep_fields(const http::Fields& fields);
  CallFailure refuse_head(std::string why);
  // What has come of the body, as far as it tells how that begins.
  struct BodyStart {
    std::string bytes;
    bool ended = false;
  };
  BodyStart body_start() const;
  std::optional<bool> begins_with_events() const;
  bool read_some();
  CallFailure broken(bool answer_began) const;
  void compose(const UpstreamRequest& request, std::string& into) const;

  const Resources resources_;
  const BackendId backend_;
  const TimePoint deadline_;
  Connection::Ptr connection_;
  Buffer in_;
  std::size_t pos_ = 0;
  AnswerHead head_;
  std::string more_;        // lines that head_ has a view of
  std::string head_fault_;  // a sentence
  bool keep_alive_ = false;
  bool aborted_ = false;
  bool awaits_body_ = false;
  std::optional<http::BodyReader> reader_;
  std::optional<std::string_view> piece_;
};

}  // namespace batchproxy
