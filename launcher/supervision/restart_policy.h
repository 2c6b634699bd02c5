// launcher/supervision/restart_policy.h - RestartPolicy: whether and when an engine that has ended
// is started again.
//
// The first time after a second, then after twice as long each time, up to a minute; up to a fifth
// less, so that engines that ended together do not start together. An engine that was up for ten
// minutes has earned the first second again. One that has never been up is given up after five
// starts, or as soon as the next would end in the same way: it needs a person. One that has been up
// is not given up.
//
// Threading: plain values; no clock.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/base/time.h"

namespace batchproxy {

// How a run of an engine ended that nobody had asked to end.
struct RunEnd {
  std::optional<Duration> up_for{};  // nothing: it never came up in this run
  bool is_hopeless = false;          // the next start would end in the same way
};

class RestartPolicy {
 public:
  static constexpr int kMostStarts = 5;  // that never came up

  // `restarts`: whether any engine is started again. `seed` tells engines apart.
  RestartPolicy(bool restarts, std::uint32_t seed) : restarts_(restarts), random_(seed) {}

  // How long to wait before the next start; nothing: there is none.
  std::optional<Duration> on_ended(const RunEnd& end);
  // A person asks for a start: what was before does not count.
  void on_ordered() { failures_ = 0; }

  // Starts so far beyond the first.
  int restarts() const { return count_; }
  void on_started_again() { ++count_; }

 private:
  Duration delay();

  bool restarts_;
  std::uint32_t random_;
  int failures_ = 0;  // in a row
  int count_ = 0;
  bool was_up_ = false;  // ever
};

}  // namespace batchproxy
