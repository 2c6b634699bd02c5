// batcher/decision/merger.cc - see merger.h.
#include "batcher/decision/merger.h"

#include <algorithm>

#include "batcher/base/flush_rule.h"

namespace batchproxy {

namespace {
constexpr std::size_t kWindow = 4;  // batches of waiting tickets that are looked at
}  // namespace

std::size_t Merger::window() const {
  return kWindow * options_.batch_size;
}

bool Merger::mergeable(const Ticket& ticket, const Backend& backend) const {
  const bool always = options_.merge == MergePolicy::kAlways;
  switch (ticket.mergeable) {
    case Mergeable::kCompletion:
      return always || (options_.merge == MergePolicy::kAuto && ticket.short_answer &&
                        backend.traits.exact_usage && rule_of(options_.policy).goes_by_room());
    case Mergeable::kChat:
      return always && backend.traits.chat_batches;
    case Mergeable::kNever:
      break;
  }
  return false;
}

bool Merger::merges_now(const Ticket& ticket, const Backend& backend) const {
  return mergeable(ticket, backend) &&
         (options_.merge == MergePolicy::kAlways || front_ends_bound(ticket.among));
}

// Whether it is so with all of them: one that waits for its calls to fill while others take at once
// would be left with too little.
bool Merger::front_ends_bound(BackendSet among) const {
  return std::ranges::all_of(fleet_, [&](const Backend& backend) {
    return !backend.ready || !among.contains(fleet_.id_of(backend)) ||
           backend.room.front_end_bound();
  });
}

bool Merger::gathers(const Ticket& ticket, const Backend& backend) const {
  return backend.calls >= kCalls && merges_now(ticket, backend);
}

// Goes through the central and the affine places at once, in order of turn.
void Merger::find_followers(const Ticket& leader, BackendId id, std::uint32_t most, TimePoint now,
                            std::vector<Ticket*>& followers) {
  passed_clients_.clear();
  TurnSet& centrals = turns_.queue_for(leader.among, now).central;
  TurnSet& affines = turns_.affine(id);
  auto central = centrals.begin();
  auto affine = affines.begin();
  for (std::size_t seen = 0; followers.size() < most && seen < window(); ++seen) {
    const bool none_affine = affine == affines.end();
    if (none_affine && central == centrals.end()) break;
    const bool take_central =
        none_affine || (central != centrals.end() && EarlierTurn()(*central, *affine));
    Ticket& ticket = take_central ? *central++ : *affine++;
    if (std::ranges::find(passed_clients_, ticket.client) != passed_clients_.end()) continue;
    if (can_follow(ticket, leader, id, now)) {
      followers.push_back(&ticket);
    } else {
      passed_clients_.push_back(ticket.client);
    }
  }
}

bool Merger::can_follow(const Ticket& ticket, const Ticket& leader, BackendId id,
                        TimePoint now) const {
  const Backend& backend = fleet_[id];
  return ticket.among == leader.among && ticket.identity == leader.identity &&
         ticket.mergeable == leader.mergeable && merges_now(ticket, backend) &&
         prospects_.of(ticket, &backend, now) == Prospect::kFine;
}

Ticket* Merger::first_alone(BackendId id, TimePoint now) {
  const Backend& backend = fleet_[id];
  Ticket* first = nullptr;
  const auto look = [&](TurnSet& turns) {
    std::size_t seen = 0;
    for (Ticket& ticket : turns) {
      if (++seen > window()) break;
      const bool goes =
          !merges_now(ticket, backend) && prospects_.of(ticket, &backend, now) == Prospect::kFine;
      if (!goes) continue;
      if (first == nullptr || EarlierTurn()(ticket, *first)) first = &ticket;
      break;
    }
  };
  look(turns_.affine(id));
  for (const auto& queue : turns_.queues()) {
    if (queue->backends.contains(id)) look(queue->central);
  }
  return first;
}

}  // namespace batchproxy
