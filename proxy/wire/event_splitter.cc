// proxy/wire/event_splitter.cc - see event_splitter.h.
#include "proxy/wire/event_splitter.h"

#include <algorithm>

namespace batchproxy {

namespace {

// The length of the whole events that `text` begins with.
std::size_t whole_events(std::string_view text) {
  if (text.ends_with("\n\n")) return text.size();  // nearly always
  const auto behind = [&](std::string_view blank_line) {
    const auto at = text.rfind(blank_line);
    return at == std::string_view::npos ? 0 : at + blank_line.size();
  };
  return std::max({behind("\n\n"), behind("\n\r\n"), behind("\r\r")});
}

bool ends_with_done(std::string_view events) {
  const std::size_t end = events.find_last_not_of("\r\n");
  if (end == events.npos) return false;
  events = events.substr(0, end + 1);
  for (const std::string_view last : {"data: [DONE]", "data:[DONE]"}) {
    if (!events.ends_with(last)) continue;
    events.remove_suffix(last.size());
    return events.empty() || events.ends_with('\n') || events.ends_with('\r');
  }
  return false;
}

}  // namespace

std::string_view EventSplitter::take(std::string_view bytes) {
  if (held_.empty()) {
    // Nearly always: engines write event by event.
    const std::size_t whole = whole_events(bytes);
    held_ = bytes.substr(whole);
    bytes = bytes.substr(0, whole);
  } else {
    held_ += bytes;
    const std::size_t whole = whole_events(held_);
    passed_.assign(held_, 0, whole);
    held_.erase(0, whole);
    bytes = passed_;
  }
  if (!bytes.empty()) {
    between_events_ = true;
    done_ = ends_with_done(bytes);
  }
  if (held_.size() > kMaxEvent) {
    passed_ = std::string(bytes) + held_;
    held_.clear();
    between_events_ = false;
    return passed_;
  }
  return bytes;
}

}  // namespace batchproxy
