// tests/fault_sim/sim_lane.cc - see sim_lane.h.
#include "tests/fault_sim/sim_lane.h"

#include <utility>

namespace batchproxy::fault_sim {

// --- SimLaneHandle
// ---------------------------------------------------------------------------------

SimLaneHandle::SimLaneHandle(SimLane& lane, std::uint32_t index, VirtualTime& time, Dice& dice)
    : lane_(lane), index_(index), to_lane_(time, dice), to_thread_(time, dice) {}

void SimLaneHandle::submit(Ticket& ticket, Tried tried) {
  ticket.handle = index_;
  send({LaneMessage::submit(ticket), &ticket, tried});
}

void SimLaneHandle::cancel(Ticket& ticket, bool client_left) {
  send({LaneMessage::cancel(ticket, client_left), &ticket});
}

void SimLaneHandle::complete(const Ticket& ticket, Outcome outcome, Duration pause) {
  send({LaneMessage::complete(ticket, outcome, pause), &ticket});
}

// What is said in one go arrives in one go.
void SimLaneHandle::send(const Sent& sent) {
  outgoing_.push_back(sent);
  if (outgoing_.size() > 1) return;
  to_lane_.send([this] {
    for (const Sent& one : std::exchange(outgoing_, {})) lane_.handle(index_, one);
    lane_.decide();
  });
}

// --- SimLane ---------------------------------------------------------------------------------

SimLane::SimLane(VirtualTime& time, Dice& dice, const SchedulerOptions& options)
    : time_(time),
      dice_(dice),
      core_(options),
      oracle_(time, core_.scheduler(), options),
      from_control_(time, dice) {
  core_.events().on_stall = [this](const Stall& stall) { stalls_.push_back(stall); };
}

SimLaneHandle& SimLane::add_handle() {
  const auto index = static_cast<std::uint32_t>(handles_.size());
  handles_.push_back(std::make_unique<SimLaneHandle>(*this, index, time_, dice_));
  core_.add_handle();
  return *handles_.back();
}

template <class Change>
void SimLane::change(Change change) {
  from_control_.send([this, change = std::move(change)] {
    change();
    decide();
  });
}

void SimLane::set_backend(BackendId id, const BackendTraits& traits, bool is_new) {
  change([=, this] {
    if (is_new) {
      core_.add_backend(id, traits);
    } else {
      core_.set_backend(id, traits);
    }
    oracle_.on_set_backend(id, is_new);
  });
}

void SimLane::set_up(BackendId id, bool up) {
  change([=, this] {
    time_.note("lane: backend {} is {}", id, up ? "up" : "down");
    core_.set_up(id, up);
    oracle_.on_set_up(id, up);
  });
}

void SimLane::set_routes(Routes routes) {
  change([this, routes = std::move(routes)] {
    core_.set_routes(routes);
    oracle_.on_rerouted();
  });
}

void SimLane::set_options(const SchedulerOptions& options) {
  change([=, this] {
    core_.set_options(options);
    oracle_.on_set_options(options);
  });
}

void SimLane::observe(BackendId id, const std::optional<EngineSample>& sample) {
  change([=, this] {
    core_.observe(id, sample, time_.now());
    tell_stalls();
  });
}

void SimLane::drain() {
  change([this] { core_.drain(); });
}

void SimLane::handle(std::uint32_t handle, const SimLaneHandle::Sent& sent) {
  const LaneMessage& message = sent.message;
  const std::size_t before = core_.outbox(handle).size();
  core_.handle(message, time_.now());
  const std::size_t came_back = core_.outbox(handle).size() - before;
  switch (message.kind) {
    case LaneMessage::Kind::kSubmit:
      if (came_back == 0) {
        oracle_.on_submitted(*sent.ticket, sent.tried);
      } else {
        oracle_.on_turned_away(*sent.ticket, core_.routes());
      }
      break;
    case LaneMessage::Kind::kCancel:
      // Once for the cancel, and for its submit unless it has a verdict already.
      if (came_back != 1 && came_back != 2) throw Violation("a cancel is not answered");
      if (came_back == 2) oracle_.on_cancelled(*sent.ticket);
      break;
    case LaneMessage::Kind::kComplete:
      oracle_.on_completed(message.grant, message.prompts, sent.ticket, message.outcome,
                           message.pause);
      break;
  }
  tell_stalls();
}

// Behind what the oracle has been told of the message in which they showed.
void SimLane::tell_stalls() {
  for (const Stall& stall : std::exchange(stalls_, {})) {
    time_.note("lane: backend {} {}", stall.backend, stall.stuck ? "stands still" : "moves");
    oracle_.on_stall(stall);
    if (on_stall) on_stall(stall);
  }
}

void SimLane::decide() {
  const std::vector<Ticket*>& decided = core_.decide(time_.now());
  tell_stalls();
  for (const Ticket* ticket : decided) {
    const auto& refused = ticket->verdict.refused;
    time_.note("lane: {} of client {} {} {}{}", ticket->verdict.batch.id, ticket->client,
               refused ? "refused:" : "to backend", ticket->verdict.backend,
               refused           ? describe(*refused).code
               : ticket->suspect ? ", alone"
                                 : "");
    oracle_.on_decided(*ticket, core_.routes());
  }
  oracle_.after_take();
  arm_timer();
  for (std::uint32_t handle = 0; handle < handles_.size(); ++handle) {
    if (core_.outbox(handle).empty()) continue;
    handles_[handle]->to_thread_.send([tickets = std::exchange(core_.outbox(handle), {})] {
      for (Ticket* ticket : tickets) ticket->sink->on_returned(*ticket);
    });
  }
}

void SimLane::arm_timer() {
  const auto due = core_.next_due();
  if (!due || *due >= armed_) return;
  armed_ = *due;
  time_.at(armed_, [this, armed = armed_] {
    if (armed == armed_) on_timer();
  });
}

// A timer that fires again at once, again and again, keeps a core busy for nothing.
void SimLane::on_timer() {
  armed_ = TimePoint::max();
  const std::uint64_t before = oracle_.decided();
  decide();
  const bool moved = oracle_.decided() > before || last_wake_ != time_.now();
  last_wake_ = time_.now();
  idle_wakes_ = moved ? 0 : idle_wakes_ + 1;
  if (idle_wakes_ > 2) throw Violation("the scheduler asks to be woken at once, again and again");
}

}  // namespace batchproxy::fault_sim
