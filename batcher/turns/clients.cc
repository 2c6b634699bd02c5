// batcher/turns/clients.cc - see clients.h.
#include "batcher/turns/clients.h"

#include <algorithm>

namespace batchproxy {

namespace {
constexpr std::size_t kMany = 4096;          // then those without a claim are forgotten
constexpr std::size_t kManyLeavers = 65536;  // no more are remembered for having left
}  // namespace

void Clients::on_submitted(Ticket& ticket, TimePoint now) {
  if (clients_.size() > sweep_at_) sweep(now);
  Client& client = clients_[ticket.client];
  ++client.waiting;
  if (ticket.turn != 0) return;  // it comes back, and takes its old place
  Rotation& rotation = rotation_of(ticket.background ? kBackground : 0);
  ticket.turn = std::max(rotation.turn, client.next_turn);
  client.next_turn = ticket.turn + ticket.prompts;
  rotation.latest = std::max(rotation.latest, client.next_turn);
}

void Clients::sweep(TimePoint now) {
  std::erase_if(clients_, [&](const auto& entry) {
    const Client& client = entry.second;
    return client.waiting == 0 && client.next_turn <= rotation_of(client.next_turn).turn &&
           !client.patience.remembers(now);
  });
  sweep_at_ = std::max(kMany, 2 * clients_.size());
}

void Clients::on_granted(const Ticket& ticket) {
  --clients_.find(ticket.client)->second.waiting;
  Rotation& rotation = rotation_of(ticket.turn);
  rotation.turn = std::max(rotation.turn, ticket.turn);
}

void Clients::on_dropped(const Ticket& ticket, TimePoint now) {
  const auto client = clients_.find(ticket.client);
  if (--client->second.waiting > 0) return;
  client->second.next_turn = 0;
  if (!client->second.patience.remembers(now)) clients_.erase(client);
}

Patience* Clients::find_patience(std::uint64_t client) {
  const auto found = clients_.find(client);
  return found == clients_.end() ? nullptr : &found->second.patience;
}

const Patience* Clients::find_patience(std::uint64_t client) const {
  const auto found = clients_.find(client);
  return found == clients_.end() ? nullptr : &found->second.patience;
}

Patience* Clients::patience_of_leaver(std::uint64_t client) {
  if (Patience* known = find_patience(client)) return known;
  return clients_.size() >= kManyLeavers ? nullptr : &clients_[client].patience;
}

}  // namespace batchproxy
