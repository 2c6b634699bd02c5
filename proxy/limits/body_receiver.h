// proxy/limits/body_receiver.h - BodyReceiver: a request's body while it is read; ByteHold: its
// bytes in the budget, for as long as they are held.
//
// A receiver keeps the body's pace (body_pace.h), and its hold up to date (byte_budget.h). When
// reading has stopped for want of memory, nothing may wait for ever, even if half-read bodies hold
// it all:
//  - the oldest body on each thread is read on regardless, so there is always one that ends, by
//    being whole or by being too slow; the next oldest follows it. This can exceed the budget by
//    one body a thread.
//  - a paused body waits for the stall time at most, and is then refused with 503 `overloaded`,
//    which frees its bytes. So what half-read bodies hold is free again after that time.
//  - a body that is whole never waits for memory: its bytes go when its answer has, or its time is
//    up, or its client leaves.
// A pause is our doing and does not count against the client's pace.
//
// Threading: confined to one I/O thread.
#pragma once

#include <optional>

#include <boost/intrusive/list.hpp>

#include "backends/http/body.h"
#include "backends/net/deadline.h"
#include "backends/net/waiter.h"
#include "proxy/limits/body_pace.h"
#include "proxy/limits/byte_budget.h"

namespace batchproxy {

class ReceiverQueue;

// A request's bytes in the budget, for as long as it lives.
class ByteHold {
 public:
  explicit ByteHold(ReceiverQueue& queue) : queue_(queue) {}
  ~ByteHold() { set(0); }
  ByteHold(const ByteHold&) = delete;
  ByteHold& operator=(const ByteHold&) = delete;

  void set(std::uint64_t bytes);

 private:
  ReceiverQueue& queue_;
  std::uint64_t bytes_ = 0;
};

// While it is read.
class BodyReceiver final : public http::BodyWatch,
                           public boost::intrusive::list_base_hook<
                               boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  BodyReceiver(ReceiverQueue& queue, ByteHold& hold, Connection& connection, const PaceLimits& limits)
      : queue_(queue), hold_(hold), connection_(connection), limits_(limits) {}
  BodyReceiver(const BodyReceiver&) = delete;
  BodyReceiver& operator=(const BodyReceiver&) = delete;

  Task<bool> before_wait(std::uint64_t received) override;
  // Whether the reading was ended for want of memory.
  bool overloaded() const { return overloaded_; }
  // Whether what it waited for last was a byte at all, and not an average.
  bool stood_still() const { return pace_ && pace_->stands_still(); }

 private:
  friend class ReceiverQueue;
  bool may_read();

  ReceiverQueue& queue_;
  ByteHold& hold_;
  Connection& connection_;
  const PaceLimits& limits_;
  std::optional<BodyPace> pace_;  // from the first wait on
  Waiter paused_;
  TimePoint paused_until_{};
  bool overloaded_ = false;
};

// The bodies being read on one thread, oldest first.
class ReceiverQueue final : private Deadline {
 public:
  ReceiverQueue(ByteBudget& budget, DeadlineQueue& deadlines)
      : share_(budget), deadlines_(deadlines) {}

  bool may_admit() const { return share_.may_admit(); }
  std::uint64_t held() const { return share_.held(); }  // any thread

 private:
  friend class BodyReceiver;
  friend class ByteHold;
  void on_expired() override;
  void look_again_soon();

  ByteShare share_;
  DeadlineQueue& deadlines_;
  boost::intrusive::list<BodyReceiver, boost::intrusive::constant_time_size<false>> bodies_;
};

}  // namespace batchproxy
