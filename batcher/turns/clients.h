// batcher/turns/clients.h - Clients: the places that clients have in the rotation, and what is
// remembered of each.
//
// Start-time fair queueing: a ticket gets its turn as if every client had a queue of its own and
// the queues were served in rotation, prompt by prompt. A client's tickets follow each other at the
// distance of their prompts, and one that was idle starts at the turn that is being served.
//
// Tickets of batches (Ticket::background) have a rotation of their own, whose turns are all behind
// those of the others: while anybody else waits, that one goes first.
//
// Clients are told apart by what they say of themselves, so their number is bounded: those without
// a ticket, without a claim and without a known patience are forgotten now and then.
//
// Threading: confined to the lane.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "batcher/base/ticket.h"
#include "batcher/base/time.h"
#include "batcher/turns/patience.h"

namespace batchproxy {

class Clients {
 public:
  // A ticket is about to wait. It gets its turn, unless it comes back with an old one.
  void on_submitted(Ticket& ticket, TimePoint now);
  // It is granted: its turn is the one that is being served.
  void on_granted(const Ticket& ticket);
  // It leaves without a grant. When all of its client's have gone, so have the client's claims:
  // it shall not wait for turns that it never took.
  void on_dropped(const Ticket& ticket, TimePoint now);
  // Nothing waits any more: all start anew.
  void start_anew() {
    for (Rotation& rotation : rotations_) rotation.turn = rotation.latest;
  }

  // What is learnt of a client; null if it is not known.
  Patience* find_patience(std::uint64_t client);
  const Patience* find_patience(std::uint64_t client) const;
  // Likewise of one that has left; null if there are too many clients to remember one more.
  Patience* patience_of_leaver(std::uint64_t client);

  std::size_t size() const { return clients_.size(); }

 private:
  struct Client {
    std::uint64_t next_turn = 0;
    std::size_t waiting = 0;  // tickets
    Patience patience;
  };
  struct Rotation {
    std::uint64_t turn = 1;    // that is being served
    std::uint64_t latest = 1;  // behind all that were given
  };
  static constexpr std::uint64_t kBackground = std::uint64_t{1} << 63;
  Rotation& rotation_of(std::uint64_t turn) { return rotations_[turn >= kBackground ? 1 : 0]; }
  void sweep(TimePoint now);

  std::unordered_map<std::uint64_t, Client> clients_;
  std::size_t sweep_at_ = 0;  // so many: then those that can be are forgotten
  std::array<Rotation, 2> rotations_{Rotation{}, Rotation{kBackground, kBackground}};
};

}  // namespace batchproxy
