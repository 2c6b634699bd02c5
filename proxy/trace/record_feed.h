// proxy/trace/record_feed.h - RecordFeed: brings the records of requests that have ended from the
// I/O threads to another one.
//
// It takes a bounded number at a time, twenty times a second, and the I/O threads never wait for
// it: what a ring has written over before it was taken is lost, and counted. So there is no queue
// that could grow.
//
// Threading: confined to the thread of the loop that it was made with, but for add(), which comes
// before that runs, mark(), and drain(), which comes after all of the threads have ended.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "backends/net/task.h"
#include "proxy/trace/record_ring.h"

namespace batchproxy {

class RecordFeed {
 public:
  struct Taken {
    std::vector<RequestRecord> records;  // those that were wanted
    std::uint64_t lost = 0;              // of any
  };
  // Called on the I/O threads, until the feed is stopped and a while after.
  using Wants = std::function<bool(const RequestRecord&)>;
  // False: the rest is not to be taken, at the end.
  using Take = std::function<bool(const Taken&)>;

  RecordFeed(asio::io_context& io, Take take) : io_(io), take_(std::move(take)) {}
  RecordFeed(const RecordFeed&) = delete;
  RecordFeed& operator=(const RecordFeed&) = delete;

  // Where records come from. Both outlive the feed.
  void add(asio::io_context& io, const RecordRing& ring) { sources_.emplace_back(io, ring); }
  // How many records each of the sources has had. Threading: any thread, once all are added.
  using Mark = std::vector<std::uint64_t>;
  Mark mark() const;
  // From the records behind `mark` on; of one that was started before, others are wanted from now
  // on.
  void start(Wants wants, const Mark& mark);
  void stop();
  bool is_on() const { return wants_ != nullptr; }
  // Takes what is left.
  void drain();

 private:
  struct Source {
    Source(asio::io_context& its_io, const RecordRing& its_ring) : io(its_io), ring(its_ring) {}
    asio::io_context& io;
    const RecordRing& ring;
    std::uint64_t taken = 0;  // up to here
    bool asked = false;       // and has not answered
  };
  struct Bite {
    Taken taken;
    std::uint64_t next = 0;
  };

  static Bite bite(const RecordRing& ring, std::uint64_t from, const Wants& wants);
  void tick();
  void ask(Source& source);
  void on_bite(Source& source, const Bite& bite);

  asio::io_context& io_;
  asio::steady_timer timer_{io_};
  const Take take_;
  std::deque<Source> sources_;
  std::shared_ptr<const Wants> wants_;  // null: it is stopped
};

}  // namespace batchproxy
