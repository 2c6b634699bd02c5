// proxy/wire/event_splitter.h - EventSplitter: lets an event stream pass in whole events only, so
// that an error event can always follow what has been passed on.
//
// Source: the HTML standard, "server-sent events": a blank line ends an event. Engines end lines in
// LF, some in CR LF; the standard allows a CR alone, too.
//
// Threading: confined to one I/O thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace batchproxy {

class EventSplitter {
 public:
  // An event longer than this passes in pieces: it would take too much memory to wait for its end.
  static constexpr std::size_t kMaxEvent = 256 * 1024;  // bytes

  // The next bytes of the stream, in whatever cut: what may be passed on now. Valid until the next
  // call, and as long as `bytes`.
  std::string_view take(std::string_view bytes);

  // The bytes that are left at the end of the stream.
  std::string_view rest() const { return held_; }

  // False once a part of an event has been passed on.
  bool between_events() const { return between_events_; }
  // Whether OpenAI's last event, `data: [DONE]`, was passed on: the answer is whole, however its
  // connection ends.
  bool is_done() const { return done_; }

 private:
  std::string held_;    // the beginning of an event
  std::string passed_;  // what take() returned, if it is not the caller's
  bool between_events_ = true;
  bool done_ = false;
};

}  // namespace batchproxy
