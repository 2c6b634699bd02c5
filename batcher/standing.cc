// batcher/standing.cc - the part of Scheduler (scheduler.h) that knows who takes requests now:
// which backends are ready, which start slowly, which is reserved for a suspect.
#include <algorithm>
#include <utility>

#include "batcher/scheduler.h"

namespace batchproxy {

namespace {
// After an outage a backend's share doubles this often, from one batch on.
constexpr Duration kSlowStartStep = std::chrono::seconds(1);
}  // namespace

// Works out which backends are ready, and which queues have none that is up. Most of the time
// nothing has changed, and nothing is looked at.
void Scheduler::refresh(TimePoint now) {
  if (!stale_ && now < refresh_at_) return;
  stale_ = false;
  refresh_at_ = TimePoint::max();
  for (Backend& backend : backends_) backend.breaker.advance(now);
  BackendSet last_resort;
  for (auto& queue : queues_) {
    refresh(*queue, now);
    if (queue->down_since && queue->prompts > 0) last_resort = last_resort | queue->backends;
  }
  for (const Ticket& suspect : suspects_) {
    if (!any_up(suspect.among)) last_resort = last_resort | suspect.among;
  }
  for (Backend& backend : backends_) {
    backend.last_resort = last_resort.contains(id_of(backend));
    refresh(backend, now);
  }
  // Those that avoid a backend may have nobody else left.
  std::vector<Ticket*> moved;
  for (const auto& queue : queues_) {
    if (!queue->down_since) continue;
    for (Ticket& ticket : queue->arrivals) {
      if (choose_among(ticket) != ticket.among) moved.push_back(&ticket);
    }
  }
  for (Ticket& suspect : suspects_) {
    if (any_up(suspect.among)) continue;
    if (choose_among(suspect) != suspect.among) moved.push_back(&suspect);
  }
  for (Ticket* ticket : moved) {
    unlink(*ticket);
    enter(*ticket);
  }
}

void Scheduler::refresh(Backend& backend, TimePoint now) {
  const bool tripped = !backend.breaker.is_closed();
  if (std::exchange(backend.tripped, tripped) && !tripped) backend.starts_slowly = true;
  if (backend.up) start_slowly(backend, now);
  const bool was_ready = std::exchange(backend.ready, backend.takes(now) && !backend.reserved);
  if (was_ready && !backend.ready) {
    while (!backend.affine.empty()) move(*backend.affine.begin(), std::nullopt);
  }
  // A probe may last while its server is away.
  if (const auto at = backend.breaker.changes_at(now, backend.last_resort))
    refresh_at_ = std::min(refresh_at_, *at);
  if (!backend.up) return;
  if (now < backend.paused_until) refresh_at_ = std::min(refresh_at_, backend.paused_until);
}

// One batch, a second later two, then four, until that is no limit any more.
void Scheduler::start_slowly(Backend& backend, TimePoint now) {
  if (std::exchange(backend.starts_slowly, false)) backend.started = now;
  if (!backend.started) return;
  const auto steps = (now - *backend.started) / kSlowStartStep;
  const auto most = std::uint64_t{options_.batch_size} << std::min<std::int64_t>(steps, 32);
  if (most >= 2 * backend.traits.max_num_seqs) {
    backend.started.reset();
    backend.most = kUnlimited;
  } else {
    backend.most = static_cast<std::uint32_t>(most);
    refresh_at_ = std::min(refresh_at_, *backend.started + (steps + 1) * kSlowStartStep);
  }
}

void Scheduler::refresh(Queue& queue, TimePoint now) {
  if (any_up(queue.backends)) {
    queue.down_since.reset();
  } else if (!queue.down_since) {
    queue.down_since = now;
  }
}

// Whether any of them is there and does its work; one that has asked for a pause does.
bool Scheduler::any_up(BackendSet among) const {
  return std::ranges::any_of(backends_, [&](const Backend& backend) {
    return backend.up && backend.breaker.is_closed() && among.contains(id_of(backend));
  });
}

// A suspect runs with nothing else on its backend, so that nobody suffers with it, and so that
// there is no doubt if the engine dies again. One at a time: the other backends serve meanwhile.
void Scheduler::place_suspects(TimePoint now) {
  if (suspect_flies_ || suspects_.empty()) return;
  if (reserved_ && !backends_[*reserved_].takes(now)) unreserve();
  const auto has_reserved = [this](const Ticket& ticket) {
    return reserved_ && ticket.among.contains(*reserved_);
  };
  // One that nobody can take now does not keep up those behind it.
  const auto first = std::ranges::find_if(suspects_, [&](const Ticket& ticket) {
    return has_reserved(ticket) || any_ready(ticket.among);
  });
  if (first == suspects_.end()) return unreserve();
  Ticket& suspect = *first;
  if (!has_reserved(suspect)) {
    unreserve();
    reserved_ = least_loaded(suspect.among, &Backend::is_ready);
    backends_[*reserved_].reserved = true;
    refresh(backends_[*reserved_], now);
  }
  Backend& backend = backends_[*reserved_];
  if (backend.inflight > 0) return;
  suspect_flies_ = true;
  grant(suspect, *reserved_, FlushReason::kRoom);
  suspect.verdict.alone = true;
  close_batch(backend, FlushReason::kRoom);
}

void Scheduler::unreserve() {
  if (!reserved_) return;
  backends_[*reserved_].reserved = false;
  reserved_.reset();
  stale_ = true;
}

}  // namespace batchproxy
