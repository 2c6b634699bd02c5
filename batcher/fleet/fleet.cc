// batcher/fleet/fleet.cc - see fleet.h.
#include "batcher/fleet/fleet.h"

#include <cassert>

#include "batcher/base/flush_rule.h"

namespace batchproxy {

// --- what is told of a backend ------------------------------------------------------------------

void Fleet::add(BackendId id, const BackendTraits& traits) {
  assert(traits.max_num_seqs > 0);
  while (id >= backends_.size()) backends_.emplace_back(BackendTraits{}, options_.batch_size);
  Backend& backend = touch(id);
  assert(backend.inflight + backend.roomless == 0);
  backend = Backend(traits, options_.batch_size);
  limit_to_time(backend);
  stale_ = true;
}

void Fleet::set_traits(BackendId id, const BackendTraits& traits) {
  assert(traits.max_num_seqs > 0);
  Backend& backend = touch(id);
  if (backend.traits.max_num_seqs != traits.max_num_seqs) {
    backend.room = Room(traits.max_num_seqs, options_.batch_size);
  }
  backend.traits = traits;
}

bool Fleet::set_up(BackendId id, bool up, TimePoint now) {
  Backend& backend = touch(id);
  if (backend.up == up) return false;
  backend.up = up;
  stale_ = true;
  backend.pause.on_taken();
  if (!up) {
    backend.slow_start.prepare();
    backend.pause.end();
    return true;
  }
  watch_.on_up(id, backend, now);
  backend.breaker.on_ready(now);
  return true;
}

void Fleet::observe(BackendId id, const std::optional<EngineSample>& sample, TimePoint now) {
  Backend& backend = touch(id);
  backend.room.observe(sample, backend.inflight, now);
  if (watch_.on_sample(id, backend, sample, all_times_, now)) stale_ = true;
}

void Fleet::on_bytes(BackendId id, TimePoint now) {
  if (watch_.on_bytes(id, touch(id), now)) stale_ = true;
}

void Fleet::on_time_given(Duration time, TimePoint now) {
  if (!time_given_.note(time, now)) return;
  for (Backend& backend : backends_) limit_to_time(backend);
}

void Fleet::limit_to_time(Backend& backend) {
  const double most = std::min(backend.room.answers_in(time_given_.shortest() / 2), 1e9);
  backend.in_time = std::max(1u, static_cast<std::uint32_t>(most));
}

// --- who takes requests -------------------------------------------------------------------------

void Fleet::begin_refresh(TimePoint now) {
  stale_ = false;
  refresh_at_ = TimePoint::max();
  touch_all();
  for (Backend& backend : backends_) backend.breaker.advance(now);
}

BackendSet Fleet::refresh(BackendSet last_resort, TimePoint now) {
  BackendSet ceased;
  for (Backend& backend : backends_) {
    const BackendId id = id_of(backend);
    backend.last_resort = last_resort.contains(id);
    if (refresh(backend, now)) ceased.insert(id);
  }
  return ceased;
}

bool Fleet::refresh(Backend& backend, TimePoint now) {
  backend.slow_start.on_breaker(backend.breaker.is_closed());
  if (backend.up) {
    const auto grows =
        backend.slow_start.advance(options_.batch_size, 2 * backend.traits.max_num_seqs, now);
    if (grows) look_again_at(*grows);
  }
  const bool was_ready = std::exchange(backend.ready, backend.takes(now) && !backend.reserved);
  // A probe may last while its server is away.
  const auto changes = backend.breaker.changes_at(now, backend.last_resort);
  if (changes) look_again_at(*changes);
  if (backend.up && now < backend.pause.until()) look_again_at(backend.pause.until());
  return was_ready && !backend.ready;
}

bool Fleet::reserve(BackendId id, TimePoint now) {
  Backend& backend = touch(id);
  backend.reserved = true;
  return refresh(backend, now);
}

void Fleet::unreserve(BackendId id) {
  touch(id).reserved = false;
  stale_ = true;
}

// --- requests come and go -----------------------------------------------------------------------

bool Fleet::on_granted(BackendId id, const Ticket& ticket, TimePoint now) {
  Backend& backend = touch(id);
  if (ticket.immediate) {
    backend.roomless += ticket.prompts;
    return false;
  }
  watch_.on_granted(backend, ticket.prompts, now);
  backend.inflight += ticket.prompts;
  if (ticket.background) backend.background += ticket.prompts;
  if (backend.breaker.is_closed()) return false;
  backend.breaker.on_granted(now);
  return refresh(backend, now);
}

void Fleet::on_returned(const Grant& grant, std::uint32_t prompts) {
  Backend& backend = touch(grant.backend);
  if (!grant.takes_room) {
    backend.roomless -= prompts;
    return;
  }
  assert(backend.inflight >= prompts && (!grant.holds_call || backend.calls > 0));
  backend.inflight -= prompts;
  if (grant.background) backend.background -= prompts;
  watch_.on_returned(prompts);
  if (grant.holds_call) --backend.calls;
  backend.room.on_completed(prompts);
}

void Fleet::learn(const Grant& grant, std::uint32_t prompts, Outcome outcome, TimePoint now) {
  Backend& backend = touch(grant.backend);
  const Duration took = now - grant.since;
  const Duration before = usual(backend);
  const Duration before_of_all = all_times_.usual();
  // With far less time than answers take it says nothing of how many the engine can have.
  const bool was_long = before > Duration::zero() && took >= before / 2;
  switch (outcome) {
    case Outcome::kGood:
      if (grant.timed) {
        backend.times.add(took);
        all_times_.add(took);
      }
      if (backend.room.on_answered(prompts, now)) limit_to_time(backend);
      backend.pause.on_taken();
      refute(grant.refutes, now);
      break;
    case Outcome::kFull:
      backend.pause.on_refusal();
      backend.room.on_full(backend.inflight, now);
      break;
    case Outcome::kExpired:
      backend.times.add_longer_than(took);
      all_times_.add_longer_than(took);
      if (was_long) backend.room.on_expired(took, now);
      break;
    case Outcome::kLeft:
      if (!was_long) break;
      watch_.on_departure(backend, now);
      backend.room.on_expired(took, now);
      break;
    case Outcome::kRejected:
    case Outcome::kServerError:
    case Outcome::kTimedOut:
    case Outcome::kLost:
    case Outcome::kUnknown:
      break;
    case Outcome::kDied:
      last_death_ = now;
      break;
  }
  if (usual(backend) != before || all_times_.usual() != before_of_all) find_longest_usual();
  backend.breaker.on_outcome(outcome, grant.generation, usual(backend), now);
  const bool answered = outcome == Outcome::kGood || outcome == Outcome::kRejected ||
                        outcome == Outcome::kFull || outcome == Outcome::kServerError;
  if (answered) on_bytes(grant.backend, now);
}

// They had failed a request that another has answered now.
void Fleet::refute(BackendSet failed, TimePoint now) {
  for (const BackendId id : failed) {
    Backend& backend = touch(id);
    backend.breaker.on_refuted(usual(backend), now);
    stale_ = true;
  }
}

void Fleet::find_longest_usual() {
  longest_usual_ = {};
  for (const Backend& each : backends_) longest_usual_ = std::max(longest_usual_, usual(each));
}

void Fleet::finish(const Grant& grant, Outcome outcome, Duration pause, TimePoint now) {
  Backend& backend = touch(grant.backend);
  if (!backend.breaker.is_closed() || backend.slow_start.was_tripped()) stale_ = true;
  if (outcome == Outcome::kFull && rule_of(options_.policy).pauses_when_full(backend)) {
    pause = std::max(pause, backend.pause.after_refusals());
  }
  if (pause <= Duration::zero()) return;
  backend.pause.begin(pause, now);
  stale_ = true;
}

// --- whether they get on ------------------------------------------------------------------------

void Fleet::watch_progress(TimePoint now) {
  if (now < watch_.due() || !watch_.look(backends_, all_times_, now)) return;
  stale_ = true;
  touch_all();
}

}  // namespace batchproxy
