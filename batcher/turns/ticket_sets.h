// batcher/turns/ticket_sets.h - the orders in which tickets wait: by turn, by arrival, by deadline.
//
// Tickets are linked where they are, so that queueing allocates nothing. A ticket is in at most one
// set of each kind.
//
// Threading: confined to the lane.
#pragma once

#include <boost/intrusive/set.hpp>

#include "batcher/base/ticket.h"

namespace batchproxy {

struct EarlierTurn {
  bool operator()(const Ticket& a, const Ticket& b) const {
    return a.turn != b.turn ? a.turn < b.turn : a.arrival < b.arrival;
  }
};
// Those of batches stand behind all others: what is owed to whom has waited is not owed to them.
struct EarlierArrival {
  bool operator()(const Ticket& a, const Ticket& b) const {
    return a.background != b.background ? b.background : a.arrival < b.arrival;
  }
};
struct EarlierDeadline {
  bool operator()(const Ticket& a, const Ticket& b) const { return a.deadline < b.deadline; }
};

template <TicketHook Ticket::* Hook, class Order>
using TicketSet =
    intrusive::multiset<Ticket, intrusive::member_hook<Ticket, TicketHook, Hook>,
                        intrusive::compare<Order>, intrusive::constant_time_size<false>>;

using TurnSet = TicketSet<&Ticket::turn_hook, EarlierTurn>;
using ArrivalSet = TicketSet<&Ticket::arrival_hook, EarlierArrival>;
using DeadlineSet = TicketSet<&Ticket::deadline_hook, EarlierDeadline>;

}  // namespace batchproxy
