// batcher/scheduler.h - decides which requests leave together, when, and to which backend.
//
// Sans-io: no socket, timer, lock or clock. Time comes in as an argument, verdicts come out of
// take(); Lane (lane.h) does the waiting.
//
// Policy (docs/SCHEDULING.md says why, with figures):
//  eager  A ticket is granted the moment a backend has room, to the one with the fewest prompts in
//         flight; to one that holds the beginning of its prompt already, if that one is not much
//         busier than the others. A ticket that has waited batch_timeout goes beyond the room, but
//         never beyond 2 x max_num_seqs.
//  fixed  The classic collector: a queue leaves when it holds batch_size prompts or its oldest has
//         waited batch_timeout; the batch goes to the backend with the fewest in flight. Streams
//         skip it.
//  off    Every ticket is granted at once.
// Clients take turns: each ticket gets a place as if every client had a queue of its own and the
// queues were served in rotation, prompt by prompt.
//
// A backend gets nothing while it is down, while its breaker is open, and for as long as it has
// asked to be left alone. While that is so for all that serve a ticket, the ticket is held; after
// such an outage a backend gets one batch, a second later two, then four, and so on. A ticket that
// may have brought engines down gets a backend to itself.
//
// A ticket with less time left than answers take is refused when its turn comes: sent,
// it would cost an answer that somebody else could have had. One whose client, by what is learnt of
// it, will have left by then goes only when nobody else waits.
//
// Threading: confined to the lane.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/intrusive/set.hpp>

#include "batcher/fleet/answer_times.h"
#include "batcher/fleet/breaker.h"
#include "batcher/fleet/progress.h"
#include "batcher/fleet/retry_budget.h"
#include "batcher/fleet/room.h"
#include "batcher/prefix/prefix_index.h"
#include "batcher/ticket.h"
#include "batcher/turns/patience.h"

namespace batchproxy {

enum class FlushPolicy { kEager, kFixed, kOff };

// Whether requests are packed into one call: auto does it while the engine's HTTP front end is the
// bottleneck, for short answers whose usage can be told apart.
enum class MergePolicy { kAuto, kAlways, kOff };

struct SchedulerOptions {
  FlushPolicy policy = FlushPolicy::kEager;
  std::uint32_t batch_size = 16;  // prompts
  Duration batch_timeout = std::chrono::milliseconds(500);
  std::size_t max_queue = 100000;  // prompts
  // How long a ticket waits while none of its backends is up.
  Duration hold_timeout = std::chrono::seconds(110);
  // How long a backend may stand still before its requests are asked elsewhere; zero: for ever.
  Duration stuck_timeout = std::chrono::seconds(10);
  bool affinity = true;
  MergePolicy merge = MergePolicy::kAuto;
};

struct BackendTraits {
  std::uint32_t max_num_seqs = 256;
  std::uint64_t kv_tokens = 0;  // its cache holds; 0: unknown
  bool exact_usage = false;     // its list answers tell what each prompt used
  bool chat_batches = false;    // it takes lists of conversations
};

// A backend stands still with requests in hand, or, told once it does, moves again.
struct Stall {
  BackendId backend = 0;
  bool stuck = false;
  bool again = false;          // it was stuck already, and so was the request that tried it
  std::uint32_t inflight = 0;  // prompts that wait for it
  Duration quiet{};            // no byte of an answer for so long
};

// A client's requests that came before `before` and that wait inside a backend are to come back:
// they will be too late there, and those behind them with them.
struct Recall {
  BackendId backend = 0;
  std::uint64_t client = 0;
  TimePoint before{};
};

// Invariants:
//  - A submitted ticket comes out of take() exactly once, granted or refused, unless cancel()
//    returned true for it.
//  - A ticket is not granted to a backend while an older one of its client waits that this backend
//    could take, unless that one waits for others to share its call.
//  - No batch holds more than batch_size prompts, unless it is a single client's longer list.
class Scheduler {
 public:
  // Packable calls that a backend has outstanding before it is given the next one: meanwhile
  // requests gather, so that the next call carries many.
  static constexpr std::uint32_t kMergeCalls = 16;

  // Between two looks at whether a backend gets on with what it has.
  static constexpr Duration kLook = std::chrono::milliseconds(250);

  // Longest that a backend is left alone because it has asked for it.
  static constexpr Duration kMaxPause = std::chrono::seconds(30);

  explicit Scheduler(const SchedulerOptions& options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Other rules from now on, also for what waits.
  void set_options(const SchedulerOptions& options);

  // Introduces backend `id`, which is not up. If the id was another's, that one is gone, and
  // nothing is in flight there.
  void add_backend(BackendId id, const BackendTraits& traits);
  // Says more about it.
  void set_backend(BackendId id, const BackendTraits& traits);
  // Whether its server is there. When it goes, what waited for its cache goes elsewhere, and its
  // cache is taken to be lost.
  void set_up(BackendId id, bool up);

  // Looks up anew who may serve each waiting ticket; `find` says it of a Ticket::model. Tickets
  // that nobody will serve are refused if `complete`.
  void reroute(const std::function<BackendSet(std::uint64_t)>& find, bool complete);

  // One look at the backend's metrics; nothing when they could not be read.
  void observe(BackendId id, const std::optional<EngineSample>& sample, TimePoint now);

  // Queues `ticket`, which must stay where it is until its verdict. A ticket that comes back (a
  // retry) takes its old place.
  void submit(Ticket& ticket);

  // Takes a ticket out of its queue; false when it has its verdict already.
  bool cancel(Ticket& ticket);
  // The client of a waiting ticket has left.
  void on_left(const Ticket& ticket, TimePoint now);

  // `prompts` prompts that were granted with `grant` have been answered, or have failed. `pause`:
  // how long the backend asked to be left alone.
  void complete(const Grant& grant, std::uint32_t prompts, Outcome outcome, TimePoint now,
                Duration pause = {});

  // Bytes of an answer that is passed on as it comes have come from the backend.
  void on_bytes(BackendId id, TimePoint now);

  // What has stopped or moved again since the last call.
  std::vector<Stall> take_stalls() { return std::exchange(stalls_, {}); }
  // Likewise of what is to come back.
  std::vector<Recall> take_recalls() { return std::exchange(recalls_, {}); }
  // When progress is looked at next: on_bytes() must have told by then.
  TimePoint progress_due() const { return progress_due_; }

  // Batches no longer wait to fill, now and later.
  void drain() { draining_ = true; }

  // Appends every ticket decided at `now`; a leader is followed by its mates.
  void take(TimePoint now, std::vector<Ticket*>& decided);

  // When take() may next decide something if nothing else happens; nothing means "not before".
  std::optional<TimePoint> next_due() const;

  std::size_t queued() const { return queued_; }           // prompts
  std::size_t clients() const { return clients_.size(); }  // that are remembered
  std::size_t backend_count() const { return backends_.size(); }
  std::uint32_t inflight(BackendId id) const {
    return backends_[id].inflight + backends_[id].roomless;
  }
  // How many prompts the backend may have at most now; 0 while it is given none.
  std::uint32_t max_inflight(BackendId id) const {
    return backends_[id].ready ? backends_[id].max_inflight() : 0;
  }
  std::uint32_t room(BackendId id) const { return backends_[id].room.prompts(); }
  bool front_end_bound(BackendId id) const { return backends_[id].room.front_end_bound(); }
  // Whether calls to it fail so often that it is given next to none.
  bool breaker_open(BackendId id) const { return !backends_[id].breaker.is_closed(); }
  // What nearly all its answers take; zero while too few are known.
  Duration usual(BackendId id) const { return usual(backends_[id]); }
  bool stuck(BackendId id) const { return backends_[id].stuck; }
  // Batches so far, by FlushReason.
  std::uint64_t batches(FlushReason reason) const {
    return batches_[static_cast<std::size_t>(reason)];
  }
  // Tickets so far that were granted to a backend because it held their beginning; calls so far
  // that carried several tickets, and how many.
  struct Gains {
    std::uint64_t affine = 0;
    std::uint64_t merged_calls = 0;
    std::uint64_t merged_tickets = 0;
  };
  const Gains& gains() const { return gains_; }

 private:
  struct EarlierTurn {
    bool operator()(const Ticket& a, const Ticket& b) const {
      return a.turn != b.turn ? a.turn < b.turn : a.arrival < b.arrival;
    }
  };
  struct EarlierArrival {
    bool operator()(const Ticket& a, const Ticket& b) const { return a.arrival < b.arrival; }
  };
  struct EarlierDeadline {
    bool operator()(const Ticket& a, const Ticket& b) const { return a.deadline < b.deadline; }
  };
  template <TicketHook Ticket::* Hook, class Order>
  using TicketSet =
      intrusive::multiset<Ticket, intrusive::member_hook<Ticket, TicketHook, Hook>,
                          intrusive::compare<Order>, intrusive::constant_time_size<false>>;
  using Turns = TicketSet<&Ticket::turn_hook, EarlierTurn>;
  using Arrivals = TicketSet<&Ticket::arrival_hook, EarlierArrival>;
  using Deadlines = TicketSet<&Ticket::deadline_hook, EarlierDeadline>;

  static constexpr std::uint32_t kUnlimited = ~std::uint32_t{0};

  struct Backend {
    explicit Backend(const BackendTraits& of, std::uint32_t batch_size)
        : traits(of), room(of.max_num_seqs, batch_size) {}

    BackendTraits traits;
    Room room;
    Breaker breaker;
    Progress progress;
    AnswerTimes times;
    bool stuck = false;                         // it stands still
    unsigned refusals = 0;                      // "full", in a row
    unsigned since_late = 0;                    // grants since a late ticket had its turn
    bool up = false;                            // its server is there
    bool tripped = false;                       // its breaker was not closed when last looked at
    bool last_resort = false;                   // no other is up for some that wait
    bool reserved = false;                      // for a suspect
    TimePoint paused_until = TimePoint::min();  // as it has asked for
    bool starts_slowly = false;                 // from its next start on
    std::optional<TimePoint> started;           // slowly, since then
    std::uint32_t most = kUnlimited;            // prompts in flight, while it starts slowly
    std::uint32_t in_time = kUnlimited;  // likewise, beyond the room: what it answers in time
    bool ready = false;                  // to be given requests: what all these amount to
    std::uint32_t inflight = 0;          // prompts
    std::uint32_t roomless = 0;          // likewise, of tickets that take no room
    std::uint32_t calls = 0;             // outstanding packable calls
    Turns affine;                        // tickets whose beginning it holds
    std::size_t affine_prompts = 0;
    std::vector<Ticket*> open;  // granted in this take(), batch not closed yet
    std::uint32_t open_prompts = 0;

    bool takes(TimePoint now) const {
      return up && breaker.admits(now, last_resort) && now >= paused_until;
    }
    bool is_ready() const { return ready && inflight < most; }
    bool is_open() const { return ready; }
    std::uint32_t room_now() const { return std::min(room.prompts(), most); }
    bool has_room() const { return ready && inflight < room_now(); }
    std::uint32_t max_inflight() const {
      return std::min({2 * traits.max_num_seqs, most, room.bound(), std::max(in_time, room_now())});
    }
    bool below_max_inflight() const { return ready && inflight < max_inflight(); }
    double load() const { return static_cast<double>(inflight + affine_prompts); }
  };

  // Tickets that the same backends may serve. With one model there is one queue.
  struct Queue {
    BackendSet backends;
    Turns central;      // those that wait for no backend in particular
    Turns at_once;      // those that need no room
    Turns late;         // those that go only when nobody else waits
    Arrivals arrivals;  // all, those in affinity queues too
    std::size_t prompts = 0;
    std::size_t central_prompts = 0;
    std::optional<TimePoint> down_since;  // none of its backends is up
  };

  // Whose tickets take turns.
  struct Client {
    std::uint64_t next_turn = 0;
    std::size_t waiting = 0;  // tickets
    Patience patience;
  };

  // Queues.
  Queue& queue_for(BackendSet backends);
  void assign_turn(Ticket& ticket);
  Turns& place_of(const Ticket& ticket, Queue& queue);
  void put(Ticket& ticket, Queue& queue, std::optional<BackendId> affine);
  void take_out(Ticket& ticket, Queue& queue);
  void count_in(const Ticket& ticket, Queue& queue, std::size_t prompts);
  void move(Ticket& ticket, std::optional<BackendId> affine);
  void unlink(Ticket& ticket);
  void drop(Ticket& ticket);
  void refuse(Ticket& ticket, Errc why);
  void tell_refused();
  void enter(Ticket& ticket);
  void refuse_unserved(TimePoint now);
  void refuse_expired(TimePoint now);
  Errc why_unserved(BackendSet among) const;
  BackendSet choose_among(const Ticket& ticket) const;

  // What can still be answered in time (prospects.cc).
  enum class Prospect : std::uint8_t { kFine, kElsewhere, kLate, kNone };
  Prospect prospect(const Ticket& ticket, const Backend* backend) const;
  Ticket* fit_head(Turns& turns, const Backend* backend);
  void stand_back(Ticket& ticket);
  Ticket* late_head(BackendId id);
  bool late_one_is_due(Backend& backend) const;
  Duration usual(const Backend& backend) const;
  Duration least(const Backend& backend) const;
  void learn(Backend& backend, const Grant& grant, std::uint32_t prompts, Outcome outcome,
             TimePoint now);
  void limit_to_time(Backend& backend);
  void note_time_given(Duration time, TimePoint now);
  void learn_patience(const Grant& grant, Outcome outcome, TimePoint now);
  void recall(std::uint64_t client, Duration patience, TimePoint now);
  void note_bytes(Backend& backend, TimePoint now);
  TimePoint stuck_at(const Backend& backend) const;
  void watch_progress(TimePoint now);
  void set_moving(Backend& backend, TimePoint now);
  Duration pause_of_full(Backend& backend) const;

  // Who takes requests (standing.cc).
  void refresh(TimePoint now);
  void refresh(Backend& backend, TimePoint now);
  void refresh(Queue& queue, TimePoint now);
  bool any_up(BackendSet among) const;
  void start_slowly(Backend& backend, TimePoint now);
  void place_suspects(TimePoint now);
  void unreserve();

  // Decisions.
  void decide(TimePoint now);
  bool is_waited_for(const Backend& backend) const;
  bool is_immediate(const Ticket& ticket) const;
  void take_immediate(Queue& queue);
  void take_eager();
  void take_overdue(TimePoint now);
  Ticket* overdue(TimePoint now);
  void take_fixed(Queue& queue, TimePoint now);
  struct Due {
    TimePoint at;
    FlushReason reason;
  };
  Due fixed_due(const Queue& queue) const;
  Ticket* head_for(BackendId id);
  Ticket* next_turn(BackendSet among);
  Ticket* first_alone(BackendId id);
  bool wants(const Backend& backend, const Ticket& head) const;

  // Batches and calls (batching.cc).
  void cut_batch(Queue& queue, FlushReason reason);
  void grant_with_mates(Ticket& leader, BackendId id, FlushReason reason,
                        std::uint32_t max_inflight);
  void find_mates(const Ticket& leader, BackendId id, std::uint32_t most);
  bool packable(const Ticket& ticket, const Backend& backend) const;
  bool packs_now(const Ticket& ticket, const Backend& backend) const;
  bool front_ends_bound(BackendSet among) const;
  void grant(Ticket& ticket, BackendId id, FlushReason reason);
  void close_batch(Backend& backend, FlushReason reason);
  void close_batches(FlushReason reason);

  // Backends.
  BackendId id_of(const Backend& backend) const {
    return static_cast<BackendId>(&backend - backends_.data());
  }
  using Condition = bool (Backend::*)() const;
  std::optional<BackendId> least_loaded(BackendSet among, Condition condition);
  std::optional<BackendId> affine_backend(const Ticket& ticket) const;
  bool any_ready(BackendSet among) const;
  bool any_below_max(BackendSet among) const;

  SchedulerOptions options_;
  std::vector<Backend> backends_;
  std::vector<std::unique_ptr<Queue>> queues_;  // one per distinct BackendSet seen
  Turns suspects_;                              // wait for a backend to themselves, one at a time
  std::optional<BackendId> reserved_;           // for the first of them, or the one under way
  bool suspect_flies_ = false;
  bool others_first_ = false;  // before the next suspect
  RetryBudget budget_;
  TimePoint now_{};         // of the last take() or complete()
  bool stale_ = true;       // something has happened that refresh() must look at
  TimePoint refresh_at_{};  // when it must look anyway
  Deadlines deadlines_;     // every queued ticket
  PrefixIndex prefixes_;
  std::unordered_map<std::uint64_t, Client> clients_;
  std::size_t sweep_at_ = 0;       // so many clients: then those without a claim are forgotten
  std::uint64_t turn_ = 1;         // that is being served
  std::uint64_t latest_turn_ = 1;  // behind all that were given
  std::vector<Ticket*> refused_;   // decided since the last take()
  AnswerTimes all_times_;          // of all backends, for those whose own are not known yet
  Duration longest_usual_{};       // of all backends: with more time left any ticket may go
  TimePoint patience_until_{};     // until then some client's patience may be known
  Duration shortest_time_ = Duration::max();  // that a client has given, of late
  TimePoint shortest_until_{};
  TimePoint progress_due_ = TimePoint::max();
  std::size_t flying_ = 0;  // prompts, on all backends
  std::vector<Stall> stalls_;
  std::vector<Recall> recalls_;

  // Of the take() in progress.
  std::vector<Ticket*>* decided_ = nullptr;
  BackendSet idle_;                            // have room, but nothing to do
  std::vector<Ticket*> mates_;                 // of the leader being granted
  std::vector<std::uint64_t> passed_clients_;  // whose next ticket cannot be its mate

  std::size_t queued_ = 0;
  std::uint64_t last_batch_ = 0;
  std::uint32_t rotation_ = 0;  // where the search for the least loaded starts, to spread ties
  std::array<std::uint64_t, kAllFlushReasons.size()> batches_{};
  Gains gains_;
  bool draining_ = false;
};

}  // namespace batchproxy
