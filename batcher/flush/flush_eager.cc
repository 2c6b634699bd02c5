// batcher/flush/flush_eager.cc - see flush_eager.h.
#include "batcher/flush/flush_eager.h"

#include <algorithm>

#include "batcher/decision/decision.h"

namespace batchproxy {

namespace {

void keep_earlier(Ticket*& head, Ticket* other) {
  if (other != nullptr && (head == nullptr || EarlierTurn()(*other, *head))) head = other;
}

// The ticket that backend `id` would take next. What is better off with another backend moves to
// that one's queue; `idle` are the backends that had nothing to do.
Ticket* head_for(Decision& decision, BackendId id, BackendSet& idle) {
  const Backend& backend = decision.fleet[id];
  if (decision.prospects.late_one_is_due(id)) {
    if (Ticket* late = decision.prospects.late_head(id, decision.now)) return late;
  }
  while (true) {
    Ticket* head = decision.first(decision.turns.affine(id), &backend);
    for (const auto& queue : decision.turns.queues()) {
      if (!queue->backends.contains(id)) continue;
      keep_earlier(head, decision.first(queue->central, &backend));
    }
    if (head == nullptr) return decision.prospects.late_head(id, decision.now);
    if (head->affine) return head;
    const auto home = decision.home_of(*head);
    if (!home) return head;
    decision.turns.move(*head, home);
    idle.erase(*home);
  }
}

// Tells each backend that is full whether something waits here because of its room. A slow start
// holds back too, but says nothing about the room.
void note_held_back(Decision& decision) {
  if (decision.turns.queued() == 0) return;
  for (const BackendId id : decision.turns.waited_for()) {
    const Backend& backend = decision.fleet[id];
    const bool full = backend.ready && backend.inflight >= backend.room.prompts();
    if (full) decision.fleet.on_held_back(id);
  }
}

// How many prompts a backend may have with those of a ticket.
class Rooms {
 public:
  explicit Rooms(Decision& decision) : decision_(decision) {}

  std::uint32_t room_for(const Ticket& head, BackendId id) {
    const Backend& backend = decision_.fleet[id];
    if (!head.background || !light().contains(id)) return backend.room_now();
    // Of what it runs at a time: the rest of its room would wait there.
    const std::uint32_t runs = std::min(backend.room_now(), backend.traits.max_num_seqs);
    return std::max(static_cast<std::uint32_t>(share() * runs), 1u);
  }

 private:
  double share() const { return decision_.options.background_share; }
  // Found for the first ticket of a batch: most of the time there is none.
  const BackendSet& light() {
    if (!light_) light_ = decision_.others.light(decision_.fleet, share(), decision_.now);
    return *light_;
  }

  Decision& decision_;
  std::optional<BackendSet> light_;
};

// Instead of `id`, where it would have gone as the least busy one, the backend whose turn it is.
BackendId in_its_turn(Decision& decision, const Ticket& head, BackendId id, BackendSet among) {
  const auto gathers = [&](BackendId its) {
    return decision.merger.gathers(head, decision.fleet[its]);
  };
  if (head.affine || head.background || gathers(id)) return id;
  const auto next = decision.balancer.next_in_turn(head, head.among & among);
  return next && !gathers(*next) ? *next : id;
}

// Fills the room of all backends.
void fill_rooms(Decision& decision) {
  const FlushReason reason = decision.draining ? FlushReason::kDrain : FlushReason::kRoom;
  BackendSet idle;  // have room, but nothing to do
  Rooms rooms(decision);
  while (decision.turns.queued() > 0) {
    const BackendSet asked_for = decision.turns.waited_for();
    auto id = decision.balancer.least_loaded(asked_for - idle, &Backend::has_room);
    if (!id) break;
    Ticket* head = head_for(decision, *id, idle);
    if (head != nullptr) id = in_its_turn(decision, *head, *id, asked_for - idle);
    const Backend& backend = decision.fleet[*id];
    // A backend with many merged calls waits: meanwhile others join the head's call.
    if (head != nullptr && !decision.draining && decision.merger.gathers(*head, backend)) {
      head = decision.merger.first_alone(*id, decision.now);
    }
    if (head == nullptr) {
      idle.insert(*id);
      continue;
    }
    const std::uint32_t room = rooms.room_for(*head, *id);
    if (head->background && backend.inflight >= room) {
      idle.insert(*id);  // its room has nothing to learn from that
    } else {
      decision.grant_merged(*head, *id, reason, room);
    }
  }
  decision.close_batches(reason);
  note_held_back(decision);
}

bool any_below_max(const Decision& decision, BackendSet among) {
  return decision.fleet.any(among, &Backend::below_max_inflight);
}

// A ticket that has waited batch_timeout and could leave at once.
Ticket* overdue(const Decision& decision) {
  for (const auto& queue : decision.turns.queues()) {
    if (queue->arrivals.empty() || !any_below_max(decision, queue->backends)) continue;
    Ticket& oldest = *queue->arrivals.begin();
    if (oldest.background) continue;  // so are all the others
    if (oldest.arrival + decision.options.batch_timeout <= decision.now) return &oldest;
  }
  return nullptr;
}

// Whose turn it is among the tickets that could leave at once to one of `among`: not necessarily
// the oldest's, or a client with thousands of old tickets would keep all others out.
Ticket* next_turn(Decision& decision, BackendSet among) {
  Ticket* next = nullptr;
  Turns& turns = decision.turns;
  for (const auto& queue : turns.queues()) {
    if (!any_below_max(decision, queue->backends & among)) continue;
    // What is better off with a backend that holds its beginning moves there, as in head_for().
    while (Ticket* first = decision.first(queue->central, nullptr)) {
      const auto home = decision.home_of(*first);
      if (!home || !decision.fleet[*home].below_max_inflight()) break;
      turns.move(*first, home);
    }
    keep_earlier(next, decision.first(queue->central, nullptr));
  }
  for (const Backend& backend : decision.fleet) {
    const BackendId id = decision.fleet.id_of(backend);
    if (!backend.below_max_inflight() || !among.contains(id)) continue;
    keep_earlier(next, decision.first(turns.affine(id), nullptr));
  }
  if (next != nullptr) return next;
  for (const auto& queue : turns.queues()) {
    if (!any_below_max(decision, queue->backends & among)) continue;
    keep_earlier(next, decision.first(queue->late, nullptr));
  }
  return next;
}

// What has waited too long goes beyond the room.
void take_overdue(Decision& decision) {
  Turns& turns = decision.turns;
  while (Ticket* oldest = overdue(decision)) {
    if (oldest->affine && !decision.fleet[*oldest->affine].below_max_inflight()) {
      turns.move(*oldest, std::nullopt);
    }
    const std::size_t before = turns.queued();
    const BackendSet among = oldest->among;
    Ticket* next = next_turn(decision, among);
    if (next == nullptr && turns.queued() == before) break;
    if (next == nullptr) continue;  // those that could not be answered in time have gone
    const auto id = next->affine ? next->affine
                                 : decision.balancer.least_loaded(next->among & among,
                                                                  &Backend::below_max_inflight);
    decision.grant_merged(*next, *id, FlushReason::kTimeout, decision.fleet[*id].max_inflight());
  }
  decision.close_batches(FlushReason::kTimeout);
}

}  // namespace

void FlushEager::take(Decision& decision) const {
  for (const auto& queue : decision.turns.queues()) decision.take_at_once(*queue);
  fill_rooms(decision);
  take_overdue(decision);
}

// Once every backend is at its limit only a completion can help, and that wakes the lane anyway.
std::optional<TimePoint> FlushEager::due(const Queue& queue, const Fleet& fleet,
                                         const SchedulerOptions& options) const {
  if (!fleet.any(queue.backends, &Backend::below_max_inflight)) return std::nullopt;
  if (queue.arrivals.begin()->background) return std::nullopt;
  return queue.arrivals.begin()->arrival + options.batch_timeout;
}

// One that is full although we have nothing on it is busy with others' requests.
bool FlushEager::pauses_when_full(const Backend& backend) const {
  return backend.inflight == 0;
}

}  // namespace batchproxy
