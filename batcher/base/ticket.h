// batcher/base/ticket.h - Ticket: what the lane knows of a request, and the verdict that it gives.
//
// A ticket stands in for a request while it waits; the request's bytes never leave the I/O thread
// that owns the client. Tickets are linked into the lane's queues where they are (intrusively), so
// queueing allocates nothing.
//
// Threading: owned by the lane from LaneHandle::submit() until it has come back as often as it was
// handed over, by the I/O thread that made it before and after. Nobody else touches it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <boost/intrusive/set_hook.hpp>

#include "batcher/base/backend_set.h"
#include "batcher/base/error.h"
#include "batcher/base/flush_reason.h"
#include "batcher/base/prefix.h"
#include "batcher/base/time.h"

namespace batchproxy {

// A batch is the tickets granted to one backend in one go.
struct BatchInfo {
  std::uint64_t id = 0;
  std::uint32_t prompts = 0;
  FlushReason reason = FlushReason::kRoom;
};

class Ticket;

// A backend's time, given to a request: what the lane must be told again when it has ended.
struct Grant {
  BackendId backend = 0;
  std::uint32_t generation = 0;  // of the backend's breaker
  bool is_follower = false;      // in a call that another ticket makes
  bool holds_call = false;       // counts among the backend's outstanding mergeable calls
  bool alone = false;            // nothing else was on the backend
  bool takes_room = true;        // it is among the backend's prompts in flight
  bool background = false;       // of a batch
  bool timed = true;             // its answer comes as a whole, and tells how long answers take
  TimePoint since{};
  TimePoint arrival{};          // of the request
  std::uint64_t client = 0;     // whose it is
  std::uint64_t beginning = 0;  // that its prompt shares with others'; 0: none
  // Set when it has been answered: backends that had failed it, so by their own fault.
  BackendSet refutes{};
};

// The decision of the lane: send to `backend` now, or answer with `refused`.
//
// Tickets that leave in one merged call have one leader, which makes the call for its followers
// too; a follower waits for its leader, and keeps its ticket and request as they are until then.
struct Verdict : Grant {
  BatchInfo batch;
  std::optional<Errc> refused;
  std::vector<Ticket*> followers;  // of a leader, by arrival
};

// Takes tickets back on their own I/O thread: once for every submit() and once for every cancel(),
// so that whoever has them all back knows that the lane has forgotten the ticket.
class VerdictSink {
 public:
  virtual void on_returned(Ticket& ticket) = 0;

 protected:
  ~VerdictSink() = default;
};

namespace intrusive = boost::intrusive;
using TicketHook = intrusive::set_member_hook<intrusive::link_mode<intrusive::safe_link>>;

// Whether a request can share a call with others, and which kind of call.
enum class Mergeable : std::uint8_t { kNever, kCompletion, kChat };

// It has many fields since it is all that the lane ever sees of a request: what the request asks
// for, what the lane decided, and where it waits.
class Ticket {
 public:
  // Set before submit().
  TimePoint arrival{};
  TimePoint deadline{};
  std::uint64_t model = 0;    // which of Routes::models it asks for
  std::uint64_t routes = 0;   // the version of Routes that `backends` is from
  BackendSet backends;        // who may serve it; none while nobody knows who serves its model
  BackendSet avoid;           // of these, who has been asked: only if no other is up
  BackendSet never;           // not among `backends`, whoever serves its model: it is there already
  bool costs_budget = false;  // a retry that the retry budget must allow
  bool suspect = false;       // may have brought engines down: runs alone on its backend
  std::uint32_t prompts = 1;  // a client's list counts as many
  bool streaming = false;
  bool background = false;   // of a batch: all others go first
  bool immediate = false;    // needs no slot of the engine: goes at once, and counts for no room
  std::uint64_t client = 0;  // whose it is: clients take turns
  std::uint32_t tokens = 0;  // of its prompts, roughly
  PrefixChain prefix;
  Mergeable mergeable = Mergeable::kNever;
  bool short_answer = false;   // it asks for a short answer
  std::uint64_t identity = 0;  // equal for requests that may share a call
  VerdictSink* sink = nullptr;
  std::uint32_t handle = 0;  // which LaneHandle it came through, which sets this

  // Set by the lane.
  Verdict verdict;

  // The scheduler's own.
  BackendSet among;                 // who may serve it now
  std::uint64_t turn = 0;           // place among the turns of all clients; 0: not given yet
  std::uint64_t beginning = 0;      // that its prompt shares with earlier ones'; 0: none
  std::uint32_t tokens_behind = 0;  // that beginning, roughly
  std::optional<BackendId> affine;  // whose affine queue it waits in
  bool late = false;                // its client will have left: only when nobody else waits

  // `share`: how much of its prompts that is.
  void set_beginning(std::uint64_t its, double share) {
    beginning = its;
    tokens_behind = static_cast<std::uint32_t>(tokens * (1 - share));
  }

  TicketHook turn_hook;
  TicketHook arrival_hook;
  TicketHook deadline_hook;
};

}  // namespace batchproxy
