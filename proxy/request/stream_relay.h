// proxy/request/stream_relay.h - StreamRelay: passes a streamed answer on to its client, event by
// event, as it comes.
//
// A stream that cannot be finished must not look finished: it gets an error event, no `[DONE]`, no
// last chunk. Where there is no place for an event it just ends. One of which no event has come
// whole is refused.
//
// Threading: confined to one I/O thread.
#pragma once

#include <string>
#include <string_view>

#include "proxy/request/job.h"
#include "proxy/request/reply_writer.h"
#include "proxy/wire/event_splitter.h"

namespace batchproxy {

class StreamRelay {
 public:
  // `job` has ended with kStream. `client_gone` may change at any time.
  StreamRelay(IoThread& thread, ReplyWriter& reply, const ClientRequest& request, Job& job,
              const bool& client_gone)
      : thread_(thread), reply_(reply), request_(request), job_(job), client_gone_(client_gone) {}
  StreamRelay(const StreamRelay&) = delete;
  StreamRelay& operator=(const StreamRelay&) = delete;

  Task<Finish> run(Provenance who);

 private:
  // The part of a piece that may be passed on now: whole events, but at the end all.
  std::string_view take(std::string_view piece);
  Error why_broken();
  Task<Finish> end_broken(const Error& error);

  IoThread& thread_;
  ReplyWriter& reply_;
  const ClientRequest& request_;
  Job& job_;
  const bool& client_gone_;
  bool is_events_ = false;
  EventSplitter events_;
};

}  // namespace batchproxy
