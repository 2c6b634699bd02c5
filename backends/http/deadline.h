// backends/http/deadline.h - many deadlines on one timer.
//
// Nearly every deadline is cancelled before it comes, so setting one must cost next to nothing: a
// deadline is linked into an ordered set, and the one Asio timer of the thread is only ever moved
// closer. When it fires for a deadline that is gone, it is set again for the next.
//
// Threading: confined to one I/O thread.
#pragma once

#include <chrono>
#include <functional>

#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/set.hpp>

#include "backends/http/task.h"
#include "batcher/ticket.h"

namespace batchproxy {

// What an owner embeds. on_expired() runs on the owner's thread, outside of any other call.
class Deadline : public boost::intrusive::set_base_hook<
                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual void on_expired() = 0;
  void clear() { unlink(); }

 protected:
  Deadline() = default;
  virtual ~Deadline() = default;  // unlinks itself

 private:
  friend class DeadlineQueue;
  TimePoint at_{};
};

class DeadlineQueue {
 public:
  explicit DeadlineQueue(asio::io_context& io) : timer_(io) {}

  // Sets, or moves, `deadline`.
  void set(Deadline& deadline, TimePoint at) {
    deadline.clear();
    deadline.at_ = at;
    deadlines_.insert(deadlines_.end(), deadline);
    arm();
  }
  void set(Deadline& deadline, Duration in) {
    set(deadline, std::chrono::steady_clock::now() + in);
  }

 private:
  struct Earlier {
    bool operator()(const Deadline& a, const Deadline& b) const { return a.at_ < b.at_; }
  };

  void arm() {
    if (deadlines_.empty() || deadlines_.begin()->at_ >= armed_) return;
    armed_ = deadlines_.begin()->at_;
    timer_.expires_at(armed_);
    timer_.async_wait([this](const ErrorCode& error) {
      if (error) return;  // moved closer
      armed_ = TimePoint::max();
      expire();
      arm();
    });
  }

  void expire() {
    const TimePoint now = std::chrono::steady_clock::now();
    while (!deadlines_.empty() && deadlines_.begin()->at_ <= now) {
      Deadline& deadline = *deadlines_.begin();
      deadline.clear();
      deadline.on_expired();
    }
  }

  asio::steady_timer timer_;
  TimePoint armed_ = TimePoint::max();
  boost::intrusive::multiset<Deadline, boost::intrusive::compare<Earlier>,
                             boost::intrusive::constant_time_size<false>>
      deadlines_;
};

}  // namespace batchproxy
