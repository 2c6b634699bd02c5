// launcher/supervision/liveness.h - Liveness: when an engine that runs is as good as dead.
//
// An engine counts as away while it stands still with requests in hand, or while it does not answer
// its health probe. Any answer to a request is a sign of life, whatever the probe says: a busy
// engine is never taken for a dead one. Of an engine of another node an agent tells the end; while
// that is silent, an engine that does not answer either is believed to be dead much sooner.
//
// Threading: plain values; the time is passed in.
#pragma once

#include <cstdint>
#include <optional>

#include "batcher/base/time.h"

namespace batchproxy {

class Liveness {
 public:
  void set_stuck(bool stuck) { stuck_ = stuck; }
  void set_unready(bool unready) { unready_ = unready; }
  // Whoever would tell of its end is silent.
  void set_unwatched(bool unwatched) { unwatched_ = unwatched; }
  // It runs anew.
  void start_anew() { *this = {}; }

  // For how long it may be away, if that is `timeout` for one that is watched; zero: for ever.
  Duration patience(Duration timeout) const;
  // Whether it has been away for that long; `answered`: requests that it has answered, ever.
  bool is_dead(std::uint64_t answered, Duration timeout, TimePoint now);

 private:
  static constexpr Duration kUnwatched = std::chrono::seconds(15);

  bool stuck_ = false;
  bool unready_ = false;
  bool unwatched_ = false;
  std::uint64_t answered_ = 0;
  std::optional<TimePoint> away_since_;
};

}  // namespace batchproxy
