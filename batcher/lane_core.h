// batcher/lane_core.h - LaneCore: what the lane does with its messages: looks up who may serve a
// ticket, asks the Scheduler, keeps the accounts, and fills an outbox for each I/O thread.
//
//   handle(message) ... handle(message) ─▶ decide() ─▶ outbox(handle), next_due()
//
// Sans-io: it is told the time and waits for nothing. Lane (batcher/lane.h) drives it between
// threads, tests/fault_sim in virtual time.
//
// Threading: confined to the lane's thread, except stats().
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "batcher/base/ages.h"
#include "batcher/base/count.h"
#include "batcher/base/latency_histogram.h"
#include "batcher/base/size_histogram.h"
#include "batcher/batch_ledger.h"
#include "batcher/routes.h"
#include "batcher/scheduler.h"

namespace batchproxy {

// A moment, or none. Threading: as Count.
class Moment {
 public:
  Moment& operator=(const std::optional<TimePoint>& at) {
    ticks_ = at ? static_cast<std::uint64_t>(at->time_since_epoch().count()) : 0;
    return *this;
  }
  // How long ago that was, in seconds; 0 for none.
  double age(TimePoint now) const {
    const auto ticks = static_cast<Duration::rep>(ticks_.get());
    if (ticks == 0) return 0;
    const auto age = now.time_since_epoch() - Duration(ticks);
    return age > Duration::zero() ? std::chrono::duration<double>(age).count() : 0;
  }

 private:
  Count ticks_;
};

// How many prompts wait and fly, for how long, and what left in which way, for metrics and the
// console.
// Threading: written by the lane only, read by anyone.
struct LaneStats {
  std::atomic<std::uint64_t> queued{0};                                 // prompts
  std::array<std::atomic<std::uint32_t>, BackendSet::kMax> inflight{};  // prompts, by BackendId
  std::array<std::atomic<std::uint32_t>, BackendSet::kMax> room{};      // prompts, by BackendId
  std::array<std::atomic<bool>, BackendSet::kMax> failing{};            // by BackendId
  std::array<std::atomic<bool>, BackendSet::kMax> stuck{};              // by BackendId
  std::atomic<std::uint64_t> affine{0};                                 // see Scheduler::Gains
  std::atomic<std::uint64_t> merged_calls{0};
  std::atomic<std::uint64_t> merged_tickets{0};
  std::array<std::atomic<std::uint64_t>, kAllFlushReasons.size()> batches{};
  Moment oldest_waiting;                                 // its arrival
  std::atomic<WaitsFor> waits_for{WaitsFor::kNothing};   // that one
  std::array<Moment, BackendSet::kMax> oldest;           // by BackendId: when it was granted
  std::array<Moment, BackendSet::kMax> quiet_since;      // likewise: no byte, with some in flight
  SizeHistogram batch_prompts;                           // of each batch
  LatencyHistogram waits;                                // from arrival to grant
  std::array<LatencyHistogram, BackendSet::kMax> takes;  // by BackendId: from grant to good answer
};

// A message of an I/O thread to the lane.
struct LaneMessage {
  enum class Kind : std::uint8_t { kSubmit, kCancel, kComplete };

  static LaneMessage submit(Ticket& ticket);
  // `client_left`: that is why.
  static LaneMessage cancel(Ticket& ticket, bool client_left);
  // `pause`: how long the backend asked to be left alone.
  static LaneMessage complete(const Ticket& ticket, Outcome outcome, Duration pause);

  Kind kind = Kind::kSubmit;
  Ticket* ticket = nullptr;  // of kSubmit and kCancel
  // Of kComplete, whose ticket may be gone when this arrives.
  Outcome outcome = Outcome::kUnknown;  // of kCancel: kLeft, if that is why
  std::uint32_t prompts = 0;
  Grant grant{};
  std::uint64_t batch = 0;
  Duration pause{};
};

// Listeners to what the lane sees, besides the tickets' owners. None has to be set.
struct LaneEvents {
  std::function<void(const BatchSummary&)> on_batch_done{};  // its last answer is in
  std::function<void(const Stall&)> on_stall{};    // a backend stands still, or moves again
  std::function<void(const Recall&)> on_recall{};  // what is to come back from a backend
};

class LaneCore {
 public:
  explicit LaneCore(const SchedulerOptions& options) : scheduler_(options) {}

  // Handles are counted from 0. Start-up only, like events().
  void add_handle() { outboxes_.emplace_back(); }
  LaneEvents& events() { return events_; }

  // The effect of each of these shows in the next decide().
  void handle(const LaneMessage& message, TimePoint now);
  void add_backend(BackendId id, const BackendTraits& traits);
  void set_backend(BackendId id, const BackendTraits& traits) {
    scheduler_.set_backend(id, traits);
  }
  void set_up(BackendId id, bool up) { scheduler_.set_up(id, up); }
  void set_routes(Routes routes);
  void set_options(const SchedulerOptions& options) { scheduler_.set_options(options); }
  void observe(BackendId id, const std::optional<EngineSample>& sample, TimePoint now);
  void drain() { scheduler_.drain(); }

  // Streams are in flight for long: that pieces of them come tells that their backend gets on.
  // While wants_pieces(), the next decide() looks at that: tell it how many have come so far.
  bool wants_pieces(TimePoint now) const { return now >= scheduler_.progress_due(); }
  void set_pieces(BackendId id, std::uint64_t pieces, TimePoint now);

  // Decides what can be decided now. Returns that, in its order, until the next call; each of its
  // tickets is in an outbox, too.
  const std::vector<Ticket*>& decide(TimePoint now);

  // What goes back to a handle: a ticket once for its submit and once for each cancel. Whoever
  // delivers it empties it.
  std::vector<Ticket*>& outbox(std::uint32_t handle) { return outboxes_[handle]; }

  // When decide() is to be called next if nothing else happens; nothing means "not before".
  std::optional<TimePoint> next_due() const { return scheduler_.next_due(); }

  const Scheduler& scheduler() const { return scheduler_; }
  const Routes& routes() const { return routes_; }
  // Threading: any thread.
  const LaneStats& stats() const { return stats_; }

 private:
  void submit(Ticket& ticket);
  bool knows_server(Ticket& ticket);
  void cancel(Ticket& ticket, bool client_left, TimePoint now);
  void complete(const LaneMessage& message, TimePoint now);
  void note_decided(const Ticket& ticket, TimePoint now);
  void give_back(Ticket& ticket) { outboxes_[ticket.handle].push_back(&ticket); }
  void tell_stalls();
  void tell_recalls();
  void publish();
  void publish_leaving();

  Scheduler scheduler_;
  Routes routes_;
  BatchLedger ledger_;
  LaneEvents events_;
  std::vector<Ticket*> decided_;
  std::vector<std::vector<Ticket*>> outboxes_;            // by handle
  std::array<std::uint64_t, BackendSet::kMax> pieces_{};  // as last told to the scheduler
  std::uint64_t last_batch_ = 0;                          // that was counted
  Ages waiting_;                                          // tickets, by arrival
  std::vector<Ages> flying_;  // tickets with a backend, by grant; by BackendId
  LaneStats stats_;
};

}  // namespace batchproxy
