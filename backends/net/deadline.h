// backends/net/deadline.h - many deadlines on one timer.
//
// Nearly every deadline is cleared, or put off, before it comes, so both must cost next to nothing.
// A deadline keeps its place in an ordered set when it is cleared or put off. When its place comes,
// it is put aside, moved to its new place, or expired. The thread's one Asio timer is only ever
// moved closer; when it fires too early it is set again for the next place.
//
// Threading: confined to one I/O thread.
#pragma once

#include <chrono>
#include <functional>

#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/set.hpp>

#include "backends/net/task.h"
#include "batcher/base/time.h"

namespace batchproxy {

// An owner embeds one. on_expired() runs on the owner's thread, outside of any other call.
class Deadline : public boost::intrusive::set_base_hook<
                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual void on_expired() = 0;
  bool is_set() const { return at_ != TimePoint::max(); }
  void clear() { at_ = TimePoint::max(); }

 protected:
  Deadline() = default;
  virtual ~Deadline() = default;  // unlinks itself

 private:
  friend class DeadlineQueue;
  TimePoint at_ = TimePoint::max();
  TimePoint place_{};  // in the set, while it is linked
};

class DeadlineQueue {
 public:
  explicit DeadlineQueue(asio::io_context& io) : timer_(io) {}

  // Sets, or moves, `deadline`.
  void set(Deadline& deadline, TimePoint at) {
    deadline.at_ = at;
    if (deadline.is_linked()) {
      if (deadline.place_ <= at) return;
      deadline.unlink();
    }
    deadline.place_ = at;
    deadlines_.insert(deadlines_.end(), deadline);
    arm();
  }
  void set(Deadline& deadline, Duration in) {
    set(deadline, std::chrono::steady_clock::now() + in);
  }

 private:
  struct Earlier {
    bool operator()(const Deadline& a, const Deadline& b) const { return a.place_ < b.place_; }
  };

  void arm() {
    if (deadlines_.empty() || deadlines_.begin()->place_ >= armed_) return;
    armed_ = deadlines_.begin()->place_;
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
    while (!deadlines_.empty() && deadlines_.begin()->place_ <= now) {
      Deadline& deadline = *deadlines_.begin();
      deadline.unlink();
      if (deadline.at_ == deadline.place_) {
        deadline.clear();
        deadline.on_expired();
      } else if (deadline.is_set()) {  // put off: maybe past others that are due as well
        set(deadline, deadline.at_);
      }
    }
  }

  asio::steady_timer timer_;
  TimePoint armed_ = TimePoint::max();
  boost::intrusive::multiset<Deadline, boost::intrusive::compare<Earlier>,
                             boost::intrusive::constant_time_size<false>>
      deadlines_;
};

}  // namespace batchproxy
