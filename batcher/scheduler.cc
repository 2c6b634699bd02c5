// batcher/scheduler.cc - see scheduler.h. Which ticket goes next is decided here; which backends
// take any, in standing.cc; which can still be answered in time, in prospects.cc; how tickets
// become batches and calls, in batching.cc. What is left is one thing: the queues and whose turn it
// is.
#include "batcher/scheduler.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace batchproxy {

namespace {

// A backend that holds a prompt's beginning is preferred unless it is busier than this: the least
// load of all plus a slack, or times kAffinityRatio. The slack is small for a beginning that many
// have asked for: others will soon hold it too, and until then its backend must not be swamped.
constexpr double kAffinitySlack = 16;  // prompts
constexpr double kHotAffinitySlack = 3;
constexpr std::uint32_t kHotUses = 4;
constexpr double kAffinityRatio = 1.5;

constexpr std::size_t kManyClients = 4096;  // then those without a claim are forgotten
constexpr std::size_t kManyQueues = 32;     // then those without tickets are forgotten

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options) : options_(options) {
  assert(options.batch_size > 0);
}

Scheduler::~Scheduler() {
  deadlines_.clear();
  suspects_.clear();
  for (Backend& backend : backends_) backend.affine.clear();
  for (auto& queue : queues_) {
    queue->central.clear();
    queue->at_once.clear();
    queue->late.clear();
    queue->arrivals.clear();
  }
}

void Scheduler::add_backend(BackendId id, const BackendTraits& traits) {
  assert(id < BackendSet::kMax && traits.max_num_seqs > 0);
  while (id >= backends_.size()) backends_.emplace_back(BackendTraits{}, options_.batch_size);
  Backend& backend = backends_[id];
  assert(backend.inflight + backend.roomless == 0);
  while (!backend.affine.empty()) move(*backend.affine.begin(), std::nullopt);
  if (reserved_ == id) unreserve();
  backend = Backend(traits, options_.batch_size);
  limit_to_time(backend);
  prefixes_.forget(id);
  prefixes_.set_capacity(id, traits.kv_tokens);
  stale_ = true;
}

void Scheduler::set_backend(BackendId id, const BackendTraits& traits) {
  assert(traits.max_num_seqs > 0);
  Backend& backend = backends_.at(id);
  if (backend.traits.max_num_seqs != traits.max_num_seqs) {
    backend.room = Room(traits.max_num_seqs, options_.batch_size);
  }
  backend.traits = traits;
  prefixes_.set_capacity(id, traits.kv_tokens);
}

void Scheduler::set_options(const SchedulerOptions& options) {
  options_ = options;
  for (Backend& backend : backends_) {
    while (!backend.affine.empty()) move(*backend.affine.begin(), std::nullopt);
  }
  stale_ = true;
}

void Scheduler::set_up(BackendId id, bool up) {
  Backend& backend = backends_.at(id);
  if (backend.up == up) return;
  backend.up = up;
  stale_ = true;
  backend.refusals = 0;
  if (!up) {
    prefixes_.forget(id);
    backend.starts_slowly = true;
    backend.paused_until = TimePoint::min();  // whoever asked for it has gone
    return;
  }
  if (backend.stuck) set_moving(backend, now_);
  backend.breaker.on_ready(now_);
  for (const auto& queue : queues_) {
    const bool held = queue->down_since && queue->prompts > 0;
    if (held && queue->backends.contains(id)) backend.starts_slowly = true;
  }
}

void Scheduler::reroute(const std::function<BackendSet(std::uint64_t)>& find, bool complete) {
  std::vector<Ticket*> moved;
  for (Ticket& ticket : deadlines_) {
    const BackendSet backends = find(ticket.model) - ticket.never;
    if (backends != ticket.backends || (backends.empty() && complete)) moved.push_back(&ticket);
  }
  for (Ticket* ticket : moved) {
    ticket->backends = find(ticket->model) - ticket->never;
    if (ticket->backends.empty() && complete) {
      drop(*ticket);
      refuse(*ticket, Errc::kUnknownModel);
    } else {
      unlink(*ticket);
      enter(*ticket);
    }
  }
}

void Scheduler::observe(BackendId id, const std::optional<EngineSample>& sample, TimePoint now) {
  Backend& backend = backends_.at(id);
  backend.room.observe(sample, backend.inflight, now);
  const bool moves = backend.progress.on_look(sample, now);
  if (moves && backend.stuck) set_moving(backend, now);
  // What it shows now may tell sooner than what it showed when it was looked at last.
  if (backend.inflight > 0) progress_due_ = std::min(progress_due_, stuck_at(backend));
}

void Scheduler::submit(Ticket& ticket) {
  ticket.verdict = {};
  ticket.late = false;
  if (ticket.costs_budget && !budget_.spend(now_)) return refuse(ticket, Errc::kRetryBudget);
  // One that comes back has been let in already.
  const bool comes_back = ticket.turn != 0;
  if (!comes_back && queued_ + ticket.prompts > options_.max_queue && queued_ > 0) {
    return refuse(ticket, Errc::kQueueFull);
  }
  note_time_given(ticket.deadline - ticket.arrival, now_);
  assign_turn(ticket);
  enter(ticket);
}

bool Scheduler::cancel(Ticket& ticket) {
  if (!ticket.turn_hook.is_linked()) return false;
  drop(ticket);
  return true;
}

void Scheduler::complete(const Grant& grant, std::uint32_t prompts, Outcome outcome, TimePoint now,
                         Duration pause) {
  Backend& backend = backends_.at(grant.backend);
  now_ = now;  // for the retry that comes with it: the last take() may be long ago
  if (!grant.takes_room) {
    backend.roomless -= prompts;
    return;
  }
  assert(backend.inflight >= prompts && (!grant.holds_call || backend.calls > 0));
  backend.inflight -= prompts;
  flying_ -= prompts;
  if (grant.holds_call) --backend.calls;
  if (grant.alone) {
    suspect_flies_ = false;
    // The next suspect would have to wait for it to become empty again; but with no other backend
    // those without blame must have their turn.
    others_first_ = std::ranges::none_of(backends_, &Backend::is_ready);
    if (suspects_.empty() || others_first_) unreserve();
  }
  backend.room.on_completed(prompts);
  if (outcome == Outcome::kGood) budget_.on_success(now);
  // The failure of a shared call is one failure, told by the one who made it.
  const bool tells = !grant.is_mate || outcome == Outcome::kGood || outcome == Outcome::kRejected;
  if (tells) learn(backend, grant, prompts, outcome, now);
  if (!backend.breaker.is_closed() || backend.tripped) stale_ = true;
  if (outcome == Outcome::kFull) pause = std::max(pause, pause_of_full(backend));
  if (pause > Duration::zero()) {
    backend.paused_until = std::max(backend.paused_until, now + std::min(pause, kMaxPause));
    stale_ = true;
  }
}

void Scheduler::take(TimePoint now, std::vector<Ticket*>& decided) {
  decided_ = &decided;
  now_ = now;
  if (suspects_.empty() && !suspect_flies_) unreserve();
  if (now >= progress_due_) watch_progress(now);
  refresh(now);
  refuse_expired(now);
  refuse_unserved(now);
  if (!refused_.empty()) tell_refused();
  if (queued_ > 0) decide(now);
  if (!refused_.empty()) tell_refused();
  // With nothing left to wait for, everyone starts anew.
  if (queued_ == 0) turn_ = latest_turn_;
}

void Scheduler::tell_refused() {
  decided_->insert(decided_->end(), refused_.begin(), refused_.end());
  refused_.clear();
}

void Scheduler::decide(TimePoint now) {
  const bool others_first = std::exchange(others_first_, false);
  if (!others_first) place_suspects(now);
  for (auto& queue : queues_) take_immediate(*queue);
  switch (options_.policy) {
    case FlushPolicy::kOff:
      break;
    case FlushPolicy::kFixed:
      for (auto& queue : queues_) take_fixed(*queue, now);
      break;
    case FlushPolicy::kEager:
      take_eager();
      take_overdue(now);
      break;
  }
  if (others_first) place_suspects(now);
}

std::optional<TimePoint> Scheduler::next_due() const {
  std::optional<TimePoint> due;
  auto sooner = [&due](TimePoint at) { due = due ? std::min(*due, at) : at; };
  if (!refused_.empty()) return TimePoint::min();
  if (flying_ > 0 && progress_due_ != TimePoint::max()) sooner(progress_due_);
  if (!deadlines_.empty()) sooner(deadlines_.begin()->deadline);
  if (queued_ > 0) sooner(stale_ ? TimePoint::min() : refresh_at_);
  const auto hold = [&](const Ticket& oldest, const Queue& queue) {
    sooner(std::max(oldest.arrival, *queue.down_since) + options_.hold_timeout);
  };
  for (const auto& queue : queues_) {
    if (queue->down_since) {
      for (const Ticket& suspect : suspects_) {
        if (suspect.among == queue->backends) hold(suspect, *queue);
      }
    }
    if (queue->arrivals.empty()) continue;
    if (queue->down_since) {
      hold(*queue->arrivals.begin(), *queue);
    } else if (options_.policy == FlushPolicy::kFixed) {
      // While nobody takes it a completion must come first, or a change that is looked for.
      if (!queue->central.empty() && any_ready(queue->backends)) sooner(fixed_due(*queue).at);
    } else if (options_.policy == FlushPolicy::kEager && any_below_max(queue->backends)) {
      // Once every backend is at its limit only a completion can help, and that wakes us anyway.
      sooner(queue->arrivals.begin()->arrival + options_.batch_timeout);
    }
  }
  return due;
}

// --- queues -------------------------------------------------------------------------------------

Scheduler::Queue& Scheduler::queue_for(BackendSet backends) {
  for (auto& queue : queues_) {
    if (queue->backends == backends) return *queue;
  }
  if (queues_.size() >= kManyQueues) {
    std::erase_if(queues_, [](const auto& queue) { return queue->prompts == 0; });
  }
  queues_.push_back(std::make_unique<Queue>());
  queues_.back()->backends = backends;
  refresh(*queues_.back(), now_);
  return *queues_.back();
}

// Those that have failed it are left out, unless only they are up.
BackendSet Scheduler::choose_among(const Ticket& ticket) const {
  const BackendSet others = ticket.backends - ticket.avoid;
  return any_up(others) ? others : ticket.backends;
}

// Puts a ticket that has its turn into the queue where it belongs.
void Scheduler::enter(Ticket& ticket) {
  if (ticket.suspect) ticket.immediate = false;
  ticket.among = choose_among(ticket);
  if (!any_up(ticket.among)) stale_ = true;
  deadlines_.insert(deadlines_.end(), ticket);
  queued_ += ticket.prompts;
  if (ticket.suspect) {
    suspects_.insert(ticket);
    return;
  }
  Queue& queue = queue_for(ticket.among);
  queue.arrivals.insert(queue.arrivals.end(), ticket);
  queue.prompts += ticket.prompts;
  put(ticket, queue, affine_backend(ticket));
}

// Start-time fair queueing: a client's tickets follow each other at the distance of their prompts,
// and one that was idle starts at the turn that is being served.
void Scheduler::assign_turn(Ticket& ticket) {
  if (clients_.size() > sweep_at_) {
    std::erase_if(clients_, [this](const auto& entry) {
      const Client& client = entry.second;
      return client.waiting == 0 && client.next_turn <= turn_ && !client.patience.remembers(now_);
    });
    sweep_at_ = std::max(kManyClients, 2 * clients_.size());
  }
  Client& client = clients_[ticket.client];
  ++client.waiting;
  if (ticket.turn != 0) return;  // it comes back, and takes its old place
  ticket.turn = std::max(turn_, client.next_turn);
  client.next_turn = ticket.turn + ticket.prompts;
  latest_turn_ = std::max(latest_turn_, client.next_turn);
}

// The set in which it waits for its turn.
Scheduler::Turns& Scheduler::place_of(const Ticket& ticket, Queue& queue) {
  if (ticket.affine) return backends_[*ticket.affine].affine;
  if (ticket.immediate) return queue.at_once;
  return ticket.late ? queue.late : queue.central;
}

void Scheduler::put(Ticket& ticket, Queue& queue, std::optional<BackendId> affine) {
  ticket.affine = affine;
  Turns& place = place_of(ticket, queue);
  place.insert(place.end(), ticket);
  count_in(ticket, queue, ticket.prompts);
  if (affine) idle_.erase(*affine);
}

void Scheduler::take_out(Ticket& ticket, Queue& queue) {
  Turns& place = place_of(ticket, queue);
  place.erase(place.iterator_to(ticket));
  count_in(ticket, queue, -std::size_t{ticket.prompts});
}

// What waits for one backend, and what for any, is counted: the load to come.
void Scheduler::count_in(const Ticket& ticket, Queue& queue, std::size_t prompts) {
  if (ticket.affine) {
    backends_[*ticket.affine].affine_prompts += prompts;
  } else if (!ticket.immediate && !ticket.late) {
    queue.central_prompts += prompts;
  }
}

void Scheduler::move(Ticket& ticket, std::optional<BackendId> affine) {
  Queue& queue = queue_for(ticket.among);
  take_out(ticket, queue);
  put(ticket, queue, affine);
}

void Scheduler::unlink(Ticket& ticket) {
  deadlines_.erase(deadlines_.iterator_to(ticket));
  queued_ -= ticket.prompts;
  if (ticket.suspect) {
    suspects_.erase(suspects_.iterator_to(ticket));
    return;
  }
  Queue& queue = queue_for(ticket.among);
  take_out(ticket, queue);
  queue.arrivals.erase(queue.arrivals.iterator_to(ticket));
  queue.prompts -= ticket.prompts;
}

// Takes out a ticket that will not be granted. When all of its client's have gone, so have its
// claims: it shall not wait for turns that nobody took.
void Scheduler::drop(Ticket& ticket) {
  unlink(ticket);
  const auto client = clients_.find(ticket.client);
  if (--client->second.waiting > 0) return;
  client->second.next_turn = 0;
  if (!client->second.patience.remembers(now_)) clients_.erase(client);
}

void Scheduler::refuse(Ticket& ticket, Errc why) {
  ticket.verdict.refused = why;
  refused_.push_back(&ticket);
}

void Scheduler::refuse_expired(TimePoint now) {
  while (!deadlines_.empty() && deadlines_.begin()->deadline <= now) {
    Ticket& ticket = *deadlines_.begin();
    drop(ticket);
    refuse(ticket, why_unserved(ticket.among));
  }
}

// While an engine is there, however busy or ill, it is not true that there is none.
Errc Scheduler::why_unserved(BackendSet among) const {
  const bool any = std::ranges::any_of(backends_, [&](const Backend& backend) {
    return backend.up && among.contains(id_of(backend));
  });
  return any ? Errc::kQueueTimeout : Errc::kNoBackend;
}

// None of its backends has been up for too long: a client shall not wait without a prospect.
void Scheduler::refuse_unserved(TimePoint now) {
  const auto hopeless = [&](const Ticket& ticket, const Queue& queue) {
    return queue.down_since &&
           std::max(ticket.arrival, *queue.down_since) + options_.hold_timeout <= now;
  };
  for (auto& queue : queues_) {
    while (!queue->arrivals.empty() && hopeless(*queue->arrivals.begin(), *queue)) {
      Ticket& ticket = *queue->arrivals.begin();
      drop(ticket);
      refuse(ticket, why_unserved(ticket.among));
    }
  }
  for (auto it = suspects_.begin(); it != suspects_.end();) {
    Ticket& ticket = *it++;
    if (!hopeless(ticket, queue_for(ticket.among))) continue;
    drop(ticket);
    refuse(ticket, why_unserved(ticket.among));
  }
}

// --- decisions ----------------------------------------------------------------------------------

bool Scheduler::is_immediate(const Ticket& ticket) const {
  return options_.policy == FlushPolicy::kOff || ticket.streaming;
}

void Scheduler::take_immediate(Queue& queue) {
  while (!queue.at_once.empty()) {
    const auto backend = least_loaded(queue.backends, &Backend::is_open);
    if (!backend) break;
    grant(*queue.at_once.begin(), *backend, FlushReason::kRoom);
    close_batch(backends_[*backend], FlushReason::kRoom);
  }
  if (options_.policy == FlushPolicy::kEager) return;
  for (auto it = queue.central.begin(); it != queue.central.end();) {
    Ticket& ticket = *it++;
    if (!is_immediate(ticket)) continue;
    const auto backend = least_loaded(queue.backends, &Backend::is_ready);
    if (!backend) return;
    grant(ticket, *backend, FlushReason::kRoom);
    close_batch(backends_[*backend], FlushReason::kRoom);
  }
}

void Scheduler::take_eager() {
  const FlushReason reason = draining_ ? FlushReason::kDrain : FlushReason::kRoom;
  const BackendSet all = BackendSet::first(backends_.size());
  idle_ = {};
  while (queued_ > 0) {
    const auto id = least_loaded(all - idle_, &Backend::has_room);
    if (!id) break;
    Ticket* head = head_for(*id);
    if (head != nullptr && !wants(backends_[*id], *head)) head = first_alone(*id);
    if (head == nullptr) {
      idle_.insert(*id);
    } else {
      grant_with_mates(*head, *id, reason, backends_[*id].room_now());
    }
  }
  close_batches(reason);
  for (Backend& backend : backends_) {
    // A slow start holds back too, but says nothing about the room.
    const bool full = backend.ready && backend.inflight >= backend.room.prompts();
    if (full && is_waited_for(backend)) backend.room.on_held_back();
  }
}

bool Scheduler::is_waited_for(const Backend& backend) const {
  return !backend.affine.empty() || std::ranges::any_of(queues_, [&](const auto& queue) {
    const bool waits = !queue->central.empty() || !queue->late.empty();
    return waits && queue->backends.contains(id_of(backend));
  });
}

// The ticket that `id` would take next. What is better off with another backend moves there.
Ticket* Scheduler::head_for(BackendId id) {
  if (late_one_is_due(backends_[id])) {
    if (Ticket* late = late_head(id)) return late;
  }
  while (true) {
    Ticket* head = fit_head(backends_[id].affine, &backends_[id]);
    for (auto& queue : queues_) {
      if (!queue->backends.contains(id)) continue;
      Ticket* first = fit_head(queue->central, &backends_[id]);
      if (first != nullptr && (head == nullptr || EarlierTurn()(*first, *head))) head = first;
    }
    if (head == nullptr) return late_head(id);
    if (head->affine) return head;
    const auto home = affine_backend(*head);
    if (!home) return head;
    move(*head, home);
  }
}

// A backend whose packable calls are many enough waits: meanwhile others join the head's call.
bool Scheduler::wants(const Backend& backend, const Ticket& head) const {
  return draining_ || backend.calls < kMergeCalls || !packs_now(head, backend);
}

void Scheduler::take_overdue(TimePoint now) {
  while (Ticket* oldest = overdue(now)) {
    if (oldest->affine && !backends_[*oldest->affine].below_max_inflight()) {
      move(*oldest, std::nullopt);
    }
    const std::size_t before = queued_;
    const BackendSet among = oldest->among;
    Ticket* next = next_turn(among);
    if (next == nullptr && queued_ == before) break;
    if (next == nullptr) continue;  // those that could not be answered in time have gone
    const auto id = next->affine ? next->affine
                                 : least_loaded(next->among & among, &Backend::below_max_inflight);
    grant_with_mates(*next, *id, FlushReason::kTimeout, backends_[*id].max_inflight());
  }
  close_batches(FlushReason::kTimeout);
}

// A ticket that has waited batch_timeout and could leave at once.
Ticket* Scheduler::overdue(TimePoint now) {
  for (auto& queue : queues_) {
    if (queue->arrivals.empty() || !any_below_max(queue->backends)) continue;
    Ticket& oldest = *queue->arrivals.begin();
    if (oldest.arrival + options_.batch_timeout <= now) return &oldest;
  }
  return nullptr;
}

// Whose turn it is among the tickets that could leave at once to one of `among`: not necessarily
// the oldest's, or a client with thousands of old tickets would keep all others out.
Ticket* Scheduler::next_turn(BackendSet among) {
  Ticket* next = nullptr;
  const auto consider = [&](Turns& turns) {
    Ticket* first = fit_head(turns, nullptr);
    if (first != nullptr && (next == nullptr || EarlierTurn()(*first, *next))) next = first;
  };
  for (auto& queue : queues_) {
    if (!any_below_max(queue->backends & among)) continue;
    // What is better off with a backend that holds its beginning moves there, as in head_for().
    while (Ticket* first = fit_head(queue->central, nullptr)) {
      const auto home = affine_backend(*first);
      if (!home || !backends_[*home].below_max_inflight()) break;
      move(*first, home);
    }
    consider(queue->central);
  }
  for (Backend& backend : backends_) {
    if (backend.below_max_inflight() && among.contains(id_of(backend))) consider(backend.affine);
  }
  if (next != nullptr) return next;
  for (auto& queue : queues_) {
    if (any_below_max(queue->backends & among)) consider(queue->late);
  }
  return next;
}

void Scheduler::take_fixed(Queue& queue, TimePoint now) {
  while (fit_head(queue.central, nullptr) != nullptr &&
         queue.central_prompts >= options_.batch_size && any_ready(queue.backends)) {
    cut_batch(queue, FlushReason::kFull);
  }
  if (queue.central.empty() || !any_ready(queue.backends)) return;
  const Due due = fixed_due(queue);
  if (draining_) {
    cut_batch(queue, FlushReason::kDrain);
  } else if (due.at <= now) {
    cut_batch(queue, due.reason);
  }
}

// When the queue leaves underfull, and why: its oldest member's batch_timeout, or the moment at
// which some member has spent half of the time that its client gives it.
Scheduler::Due Scheduler::fixed_due(const Queue& queue) const {
  Due due{queue.arrivals.begin()->arrival + options_.batch_timeout, FlushReason::kTimeout};
  for (const Ticket& ticket : queue.central) {
    const TimePoint half = ticket.arrival + (ticket.deadline - ticket.arrival) / 2;
    if (half < due.at) due = {half, FlushReason::kDeadline};
  }
  return due;
}

// --- backends -----------------------------------------------------------------------------------

// The backend that holds the beginning of the ticket's prompt, if there is one that is not much
// busier than the others; of several, the least busy.
std::optional<BackendId> Scheduler::affine_backend(const Ticket& ticket) const {
  if (options_.policy != FlushPolicy::kEager || !options_.affinity || ticket.prefix.empty()) {
    return std::nullopt;
  }
  double least = 0;
  std::size_t ready = 0;
  for (const Backend& backend : backends_) {
    if (!backend.ready || !ticket.among.contains(id_of(backend))) continue;
    least = ready++ == 0 ? backend.load() : std::min(least, backend.load());
  }
  if (ready < 2) return std::nullopt;
  std::optional<BackendId> home;
  const PrefixIndex::Match match = prefixes_.find(ticket.prefix);
  const BackendSet holders = match.holders & ticket.among;
  for (const Backend& backend : backends_) {
    const BackendId id = id_of(backend);
    if (!holders.contains(id) || !backend.ready) continue;
    if (!home || backend.load() < backends_[*home].load()) home = id;
  }
  if (!home) return std::nullopt;
  for (const auto& queue : queues_) {
    if (queue->backends == ticket.among) {
      least += static_cast<double>(queue->central_prompts) / static_cast<double>(ready);
    }
  }
  const double slack = match.uses < kHotUses ? kAffinitySlack : kHotAffinitySlack;
  const double bound = std::max(least + slack, least * kAffinityRatio);
  if (backends_[*home].load() > bound) return std::nullopt;
  return home;
}

std::optional<BackendId> Scheduler::least_loaded(BackendSet among, Condition condition) {
  std::optional<BackendId> best;
  const auto count = static_cast<BackendId>(backends_.size());
  for (BackendId i = 0; i < count; ++i) {
    const BackendId id = (i + rotation_) % count;
    if (!among.contains(id) || !(backends_[id].*condition)()) continue;
    if (!best || backends_[id].inflight < backends_[*best].inflight) best = id;
  }
  if (best) rotation_ = *best + 1;
  return best;
}

bool Scheduler::any_ready(BackendSet among) const {
  return std::ranges::any_of(backends_, [&](const Backend& backend) {
    return backend.is_ready() && among.contains(id_of(backend));
  });
}

bool Scheduler::any_below_max(BackendSet among) const {
  return std::ranges::any_of(backends_, [&](const Backend& backend) {
    return backend.below_max_inflight() && among.contains(id_of(backend));
  });
}

}  // namespace batchproxy
