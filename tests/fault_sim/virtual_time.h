// tests/fault_sim/virtual_time.h - the clock, the dice and the notebook of one simulated history.
//
// Threading: test code, one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <queue>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "batcher/base/time.h"

namespace batchproxy::fault_sim {

using namespace std::chrono_literals;

// Something that must hold does not.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The same numbers on every machine, which the distributions of the standard library are not.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}

  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>((next() >> 32) % n); }
  std::uint32_t between(std::uint32_t least, std::uint32_t most) {
    return least + below(most - least + 1);
  }
  bool chance(std::uint32_t percent) { return below(100) < percent; }
  // Short ones are as likely as long ones: the logarithm is what is even.
  Duration between(Duration least, Duration most) {
    Duration upper = least;
    while (upper < most && !chance(30)) upper *= 2;
    upper = std::min(std::max(upper, least), most);
    const auto span = static_cast<std::uint64_t>((upper - least).count()) + 1;
    return least + Duration(static_cast<Duration::rep>(next() % span));
  }

 private:
  std::uint64_t next() {  // splitmix64
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  std::uint64_t state_;
};

// What is to happen, in the order of its time; first scheduled, first served.
class VirtualTime {
 public:
  explicit VirtualTime(bool trace) : trace_(trace) {}

  TimePoint now() const { return now_; }
  Duration elapsed() const { return now_ - kStart; }

  void at(TimePoint when, std::function<void()> what) {
    events_.push_back({std::max(when, now_), ++scheduled_, std::move(what)});
    std::push_heap(events_.begin(), events_.end());
  }
  void after(Duration wait, std::function<void()> what) { at(now_ + wait, std::move(what)); }

  void run_until(TimePoint end) {
    while (!events_.empty() && events_.front().at <= end) {
      std::pop_heap(events_.begin(), events_.end());
      Event event = std::move(events_.back());
      events_.pop_back();
      now_ = event.at;
      event.what();
      if (after_each_) after_each_();
    }
    now_ = end;
  }

  // Is called behind everything that happens.
  void after_each(std::function<void()> check) { after_each_ = std::move(check); }

  template <class... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) const {
    if (!trace_) return;
    const double seconds = std::chrono::duration<double>(elapsed()).count();
    fmt::print("{:11.6f}  {}\n", seconds, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  static constexpr TimePoint kStart = TimePoint() + std::chrono::hours(1);
  struct Event {
    TimePoint at;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  const bool trace_;
  TimePoint now_ = kStart;
  std::uint64_t scheduled_ = 0;
  std::vector<Event> events_;  // a heap
  std::function<void()> after_each_;
};

// A way from one thread to another: what is sent arrives later, and in order.
class Channel {
 public:
  Channel(VirtualTime& time, Dice& dice) : time_(time), dice_(dice) {}

  void send(std::function<void()> what) {
    last_ = std::max(last_, time_.now() + dice_.between(Duration(1us), Duration(500us)));
    time_.at(last_, std::move(what));
  }

 private:
  VirtualTime& time_;
  Dice& dice_;
  TimePoint last_ = TimePoint::min();
};

}  // namespace batchproxy::fault_sim
