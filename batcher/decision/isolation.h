// batcher/decision/isolation.h - Isolation: a suspect, which may have brought engines down, runs
// with nothing else on its backend, so that nobody suffers with it, and so that there is no doubt
// if the engine dies again.
//
// One suspect at a time: a backend is reserved for it, runs empty, and gets it; the others serve
// meanwhile. It waits until no engine has ended for kCalm: where all of them end one after another,
// whoever is sent on from each to the next would be blamed for it.
//
// Threading: confined to the lane.
#pragma once

#include <optional>
#include <utility>

#include "batcher/base/backend_set.h"
#include "batcher/base/time.h"
#include "batcher/decision/decision.h"
#include "batcher/fleet/fleet.h"
#include "batcher/turns/turns.h"

namespace batchproxy {

class Isolation {
 public:
  static constexpr Duration kCalm = std::chrono::seconds(2);

  // What is passed must outlive it.
  Isolation(Fleet& fleet, const Turns& turns) : fleet_(fleet), turns_(turns) {}

  // Reserves a backend for the next suspect, or grants it.
  void place(Decision& decision);
  // Whether the others have their turn before the next suspect; asked once for each decision.
  bool lets_others_first() { return std::exchange(others_first_, false); }
  // Gives the reserved backend back when no suspect needs it.
  void tidy();
  // When a suspect that waits for calm may have its turn.
  std::optional<TimePoint> due(TimePoint now) const;
  // The suspect under way has ended.
  void on_completed();
  // Backend `id` is another's now.
  void on_replaced(BackendId id) {
    if (reserved_ == id) release();
  }

 private:
  bool is_calm(TimePoint now) const {
    return !fleet_.last_death() || now >= *fleet_.last_death() + kCalm;
  }
  void release();

  Fleet& fleet_;
  const Turns& turns_;
  std::optional<BackendId> reserved_;  // for the first suspect, or the one under way
  bool flies_ = false;                 // one is under way
  bool others_first_ = false;
};

}  // namespace batchproxy
