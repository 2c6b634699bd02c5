// proxy/ui/status_feed.h - StatusFeed: what the streams of /ui/events send. The picture of each
// second is made once and shared by all of them; while nobody watches none is made.
//
//   tick() ─▶ one frame ─▶ on_news() of each Stream ─▶ its driver take()s, when it has written
//
// A stream holds at most the newest frame of each kind: one whose reader is slow skips what it has
// missed, and nothing piles up.
//
// Sans-io: frames are bytes that somebody else writes.
//
// Threading: confined to the control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace batchproxy {

// A server-sent event. `name` empty: a plain message. `id` 0: none.
std::string event_text(std::string_view name, std::uint64_t id, std::string_view data);

class StatusFeed {
 public:
  static constexpr std::size_t kMostStreams = 200;
  static constexpr std::uint64_t kTicksPerSearch = 5;
  using Frame = std::shared_ptr<const std::string>;

  struct Sources {
    std::function<std::string()> status;    // JSON, as of /status
    std::function<std::string()> history;   // JSON, for who has just come
    std::function<void()> search_requests;  // it will tell_requests()
  };

  explicit StatusFeed(Sources sources, std::size_t most = kMostStreams)
      : sources_(std::move(sources)), most_(most) {}
  StatusFeed(const StatusFeed&) = delete;
  StatusFeed& operator=(const StatusFeed&) = delete;

  // Once a second.
  void tick();
  // The requests that ended last, as JSON. The same again is no news.
  void tell_requests(std::string json);

  bool has_room() const { return streams_.size() < most_; }
  std::size_t streams() const { return streams_.size(); }
  std::size_t most() const { return most_; }
  std::uint64_t pictures() const { return pictures_; }  // that were made ever

  // One who watches. The feed must outlive it.
  class Stream {
   public:
    // `on_news` is called from within the feed: it must not end a stream.
    Stream(StatusFeed& feed, std::function<void()> on_news);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // What it has not had yet, the newest of each kind.
    std::vector<Frame> take();
    bool has_news() const;

   private:
    friend class StatusFeed;

    StatusFeed& feed_;
    const std::function<void()> on_news_;
    bool knows_history_ = false;
    std::uint64_t status_seen_ = 0;
    std::uint64_t requests_seen_ = 0;
  };

 private:
  struct Newest {
    bool is_after(std::uint64_t seen) const { return frame && number != seen; }

    Frame frame{};  // null: there is none
    std::uint64_t number = 0;
  };

  void make_picture();
  void begin_search();
  Frame history();
  void tell_all() const;

  const Sources sources_;
  const std::size_t most_;
  std::vector<Stream*> streams_;
  Newest status_;
  Newest requests_;
  Frame history_;  // of this second
  std::string requests_json_;
  bool searching_ = false;
  std::uint64_t ticks_ = 0;
  std::uint64_t pictures_ = 0;
};

}  // namespace batchproxy
