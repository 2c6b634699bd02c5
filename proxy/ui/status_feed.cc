// proxy/ui/status_feed.cc - see status_feed.h.
#include "proxy/ui/status_feed.h"

#include <utility>

namespace batchproxy {

std::string event_text(std::string_view name, std::uint64_t id, std::string_view data) {
  std::string text;
  if (!name.empty()) text.append("event: ").append(name).append("\n");
  if (id > 0) text.append("id: ").append(std::to_string(id)).append("\n");
  while (data.ends_with('\n')) data.remove_suffix(1);
  // An empty line would end the event.
  while (true) {
    const std::string_view line = data.substr(0, data.find('\n'));
    text.append("data: ").append(line).append("\n");
    if (line.size() == data.size()) break;
    data.remove_prefix(line.size() + 1);
  }
  return text.append("\n");
}

void StatusFeed::tick() {
  ++ticks_;
  history_ = nullptr;
  if (streams_.empty()) {
    // Whoever comes next wants no picture of long ago.
    status_.frame = nullptr;
    requests_.frame = nullptr;
    requests_json_.clear();
    return;
  }
  make_picture();
  if (ticks_ % kTicksPerSearch == 0) begin_search();
  tell_all();
}

void StatusFeed::tell_requests(std::string json) {
  searching_ = false;
  if (requests_.frame && json == requests_json_) return;
  requests_.frame = std::make_shared<const std::string>(event_text("requests", 0, json));
  ++requests_.number;
  requests_json_ = std::move(json);
  tell_all();
}

void StatusFeed::make_picture() {
  ++pictures_;
  ++status_.number;
  status_.frame =
      std::make_shared<const std::string>(event_text("", status_.number, sources_.status()));
}

void StatusFeed::begin_search() {
  if (std::exchange(searching_, true)) return;
  sources_.search_requests();
}

StatusFeed::Frame StatusFeed::history() {
  if (!history_) {
    history_ = std::make_shared<const std::string>(event_text("history", 0, sources_.history()));
  }
  return history_;
}

void StatusFeed::tell_all() const {
  for (const Stream* stream : streams_) stream->on_news_();
}

StatusFeed::Stream::Stream(StatusFeed& feed, std::function<void()> on_news)
    : feed_(feed), on_news_(std::move(on_news)) {
  feed_.streams_.push_back(this);
  if (!feed_.status_.frame) feed_.make_picture();
  if (!feed_.requests_.frame) feed_.begin_search();
}

StatusFeed::Stream::~Stream() {
  std::erase(feed_.streams_, this);
}

std::vector<StatusFeed::Frame> StatusFeed::Stream::take() {
  std::vector<Frame> frames;
  if (!std::exchange(knows_history_, true)) frames.push_back(feed_.history());
  const auto take_newest = [&frames](const Newest& newest, std::uint64_t& seen) {
    if (newest.is_after(seen)) frames.push_back(newest.frame);
    seen = newest.number;
  };
  take_newest(feed_.status_, status_seen_);
  take_newest(feed_.requests_, requests_seen_);
  return frames;
}

bool StatusFeed::Stream::has_news() const {
  return !knows_history_ || feed_.status_.is_after(status_seen_) ||
         feed_.requests_.is_after(requests_seen_);
}

}  // namespace batchproxy
