// batcher/decision/decision.cc - see decision.h.
#include "batcher/decision/decision.h"

#include <algorithm>

#include "batcher/base/flush_rule.h"

namespace batchproxy {

namespace {

void fill_verdict(Ticket& ticket, BackendId id, const Backend& backend, TimePoint now) {
  Verdict& verdict = ticket.verdict;
  verdict.backend = id;
  verdict.generation = backend.breaker.generation();
  verdict.takes_room = !ticket.immediate;
  verdict.background = ticket.background;
  verdict.timed = !ticket.streaming;
  verdict.since = now;
  verdict.arrival = ticket.arrival;
  verdict.client = ticket.client;
  verdict.beginning = ticket.beginning;
  verdict.refused.reset();
}

}  // namespace

std::optional<BackendId> Decision::home_of(Ticket& ticket) {
  if (ticket.prefix.empty()) return std::nullopt;
  const PrefixIndex::Match match = prefixes.find(ticket.prefix, ticket.among);
  if (match.beginning != ticket.beginning) {
    turns.sharing().on_renamed(ticket.beginning, match.beginning, ticket.prompts);
    ticket.set_beginning(match.beginning, match.share);
  }
  const auto home = balancer.home(ticket, match);
  if (home && prospects.of(ticket, &fleet[*home], now) != Prospect::kFine) return std::nullopt;
  return home;
}

void Decision::grant(Ticket& ticket, BackendId id, FlushReason reason) {
  turns.leave(ticket);
  turns.clients().on_granted(ticket);
  const std::uint32_t held = batches.open_prompts(id);
  if (held > 0 && held + ticket.prompts > options.batch_size) close_batch(id, reason);
  if (options.affinity && !ticket.prefix.empty()) note_beginning(ticket, id);
  fill_verdict(ticket, id, fleet[id], now);
  batches.add(ticket, id);
  if (fleet.on_granted(id, ticket, now)) turns.release(id);
  if (!ticket.immediate && batches.open_prompts(id) >= options.batch_size) {
    close_batch(id, FlushReason::kFull);
  }
}

void Decision::note_beginning(const Ticket& ticket, BackendId id) {
  const bool held = prefixes.holds(ticket.beginning, id);
  if (held && ticket.affine == id) ++gains.affine;
  turns.sharing().on_sent(id, !held);
  prefixes.sent(ticket.prefix, held ? ticket.tokens_behind : ticket.tokens, id);
}

void Decision::grant_merged(Ticket& leader, BackendId id, FlushReason reason,
                            std::uint32_t max_inflight) {
  const Backend& backend = fleet[id];
  // A probe goes alone.
  const bool merges = merger.merges_now(leader, backend) && backend.breaker.is_closed();
  if (merges && rule_of(options.policy).goes_by_room()) close_batch(id, reason);
  grant(leader, id, reason);
  if (merger.mergeable(leader, backend)) {
    leader.verdict.holds_call = true;
    fleet.on_call(id);
  }
  // grant() closes a batch that is full: then nobody can join.
  if (!merges || batches.open_prompts(id) == 0) return;
  const std::uint32_t room = max_inflight - std::min(max_inflight, backend.inflight);
  const std::uint32_t left = options.batch_size - batches.open_prompts(id);
  std::vector<Ticket*>& followers = leader.verdict.followers;
  merger.find_followers(leader, id, std::min(room, left), now, followers);
  for (Ticket* follower : followers) {
    follower->verdict.is_follower = true;
    grant(*follower, id, reason);
  }
  if (followers.empty()) return;
  ++gains.merged_calls;
  gains.merged_tickets += 1 + followers.size();
}

void Decision::grant_alone(Ticket& ticket, BackendId id) {
  grant(ticket, id, FlushReason::kRoom);
  close_batch(id, FlushReason::kRoom);
}

void Decision::take_at_once(Queue& queue) {
  while (!queue.at_once.empty()) {
    const auto backend = balancer.least_loaded(queue.backends, &Backend::is_open);
    if (!backend) return;
    grant_alone(*queue.at_once.begin(), *backend);
  }
}

}  // namespace batchproxy
