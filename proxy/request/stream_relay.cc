// proxy/request/stream_relay.cc - see stream_relay.h.
#include "proxy/request/stream_relay.h"

#include "proxy/wire/client_error.h"

namespace batchproxy {

// Every event goes out as it comes in: clients measure the time between tokens. The head goes with
// the first.
Task<Finish> StreamRelay::run(Provenance who) {
  UpstreamCall& call = job_.stream();
  is_events_ = call.head().content_encoding.empty();
  const std::string head = reply_.compose_stream_head(call.head(), who);
  bool ended = false;
  while (!ended) {
    while (call.must_wait(request_.timeout)) co_await call.wait();
    const auto piece = call.piece();
    thread_.lane->on_piece(job_.backend().id);
    if (client_gone_) co_return Finish::kClientGone;
    if (!piece && events_.is_done()) break;
    if (!piece) {
      const Error error = why_broken();
      if (reply_.has_begun()) {
        const Finish finish = co_await end_broken(error);
        co_return finish;
      }
      const Finish finish = co_await reply_.refuse(error);
      co_return finish;
    }
    ended = piece->empty();
    const std::string_view bytes = take(*piece);
    if (!bytes.empty()) {
      const std::string_view before = reply_.has_begun() ? std::string_view() : head;
      const ReplyWriter::UnsentPtr unsent = reply_.send_chunk(bytes, before);
      if (unsent) co_await reply_.write_rest(*unsent);
      if (!reply_.is_open()) co_return Finish::kClientGone;
    }
  }
  if (!reply_.has_begun()) {
    const bool begun = co_await reply_.write(head);
    if (!begun) co_return Finish::kClientGone;
  }
  if (request_.minor_version == 1) {
    const bool sent = co_await reply_.write_last_chunk();
    if (!sent) co_return Finish::kClientGone;
  }
  thread_.metrics.count_answered(job_.backend().id);
  thread_.metrics.prompts_answered.add(job_.ticket().prompts);
  co_return Finish::kOk;
}

std::string_view StreamRelay::take(std::string_view piece) {
  if (!is_events_) return piece;
  return piece.empty() ? events_.rest() : events_.take(piece);
}

Error StreamRelay::why_broken() {
  if (thread_.published.shutting_down) return error_of(Errc::kShuttingDown);
  const UpstreamCall& call = job_.stream();
  thread_.metrics.broken_streams.add();
  thread_.metrics.count_failed_attempt(job_.backend().id, call.failure());
  thread_.monitor.report_failure(job_.backend().id, false);
  return error_of(call.failure(), job_.backend().name, call.fault());
}

Task<Finish> StreamRelay::end_broken(const Error& error) {
  reply_.close_afterwards();
  thread_.metrics.count_error(error.code);
  reply_.note_broken(error.code);
  if (is_events_ && events_.between_events()) {
    const std::string event = compose_error_event(error, request_.route->errors);
    const ReplyWriter::UnsentPtr unsent = reply_.send_chunk(event);
    if (unsent) co_await reply_.write_rest(*unsent);
  }
  co_return Finish::kBackendError;
}

}  // namespace batchproxy
