// batcher/turns/prospects.h - Prospects: what can still be answered in time, from what the ends of
// earlier requests have taught: how long answers take, and how long clients wait.
//
// A ticket with less time left than answers take is refused when its turn comes: sent, it would
// cost an answer that somebody else could have had. One whose client, by what is learnt of it
// (patience.h), will have left by then stands back: it goes only when nobody else waits.
//
// Threading: confined to the lane.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/base/scheduler_options.h"
#include "batcher/fleet/fleet.h"
#include "batcher/turns/turns.h"

namespace batchproxy {

// A client's requests that came before `before` and that wait inside a backend are to come back:
// they will be too late there, and those behind them with them.
struct Recall {
  BackendId backend = 0;
  std::uint64_t client = 0;
  TimePoint before{};
};

enum class Prospect : std::uint8_t {
  kFine,
  kElsewhere,  // by another backend than the one that is meant
  kLate,       // its client will have left
  kNone,       // by no backend
};

class Prospects {
 public:
  // What is passed must outlive it.
  Prospects(const SchedulerOptions& options, Fleet& fleet, Turns& turns)
      : options_(options), fleet_(fleet), turns_(turns) {}

  // There is a new backend `id`.
  void add_backend(BackendId id);

  // Whether the ticket can be answered in time: by `backend`, if one is meant, or by any.
  Prospect of(const Ticket& ticket, const Backend* backend, TimePoint now) const;

  // The first of `turns` that may go (to `backend`, if one is meant). Those before it that cannot
  // be answered in time are refused, and those whose clients will have left stand back.
  Ticket* first(TurnSet& turns, const Backend* backend, TimePoint now);
  // Likewise among those that stand back.
  Ticket* late_head(BackendId id, TimePoint now);
  // Whether it is their turn although others wait. Each backend counts its own grants, or those
  // that always have the others' turns would get none.
  bool late_one_is_due(BackendId id);

  // A granted request has ended.
  void learn(const Grant& grant, Outcome outcome, TimePoint now);
  // The client of a waiting ticket has left.
  void on_left(const Ticket& ticket, TimePoint now);

  // What is to come back since the last call.
  bool has_recalls() const { return !recalls_.empty(); }
  std::vector<Recall> take_recalls() { return std::exchange(recalls_, {}); }

 private:
  bool will_have_left(const Ticket& ticket, const Backend* backend, TimePoint now) const;
  void recall(std::uint64_t client, Duration patience, TimePoint now);

  const SchedulerOptions& options_;
  Fleet& fleet_;
  Turns& turns_;
  std::vector<unsigned> since_late_;  // by backend: grants since a late ticket had its turn
  TimePoint patience_until_{};        // until then some client's patience may be known
  std::vector<Recall> recalls_;
};

}  // namespace batchproxy
