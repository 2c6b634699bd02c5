// tests/fault_sim/lane_mirror.cc - see lane_mirror.h.
#include "tests/fault_sim/lane_mirror.h"

#include <utility>

namespace batchproxy::fault_sim {

// --- PortMirror ---------------------------------------------------------------------------------

PortMirror::PortMirror(LaneMirror& lane, std::uint32_t index, VirtualTime& time, Dice& dice)
    : lane_(lane), index_(index), to_lane_(time, dice), to_thread_(time, dice) {}

void PortMirror::submit(Ticket& ticket, unsigned deaths) {
  ticket.port = index_;
  send({.kind = Kind::kSubmit, .ticket = &ticket, .deaths = deaths});
}

void PortMirror::cancel(Ticket& ticket, bool client_left) {
  send({.kind = Kind::kCancel,
        .ticket = &ticket,
        .outcome = client_left ? Outcome::kLeft : Outcome::kUnknown});
}

void PortMirror::complete(const Ticket& ticket, Outcome outcome, Duration pause) {
  send({.kind = Kind::kComplete,
        .outcome = outcome,
        .prompts = ticket.prompts,
        .grant = ticket.verdict,
        .completed = &ticket,
        .pause = pause});
}

// What is said in one go arrives in one go.
void PortMirror::send(Message message) {
  outgoing_.push_back(message);
  if (outgoing_.size() > 1) return;
  to_lane_.send([this] {
    for (const Message& sent : std::exchange(outgoing_, {})) lane_.handle(sent);
    lane_.decide();
  });
}

// --- LaneMirror ---------------------------------------------------------------------------------

LaneMirror::LaneMirror(VirtualTime& time, Dice& dice, const SchedulerOptions& options)
    : time_(time),
      dice_(dice),
      scheduler_(options),
      oracle_(time, scheduler_, options),
      from_control_(time, dice) {}

PortMirror& LaneMirror::add_port() {
  const auto index = static_cast<std::uint32_t>(ports_.size());
  ports_.push_back(std::make_unique<PortMirror>(*this, index, time_, dice_));
  by_port_.emplace_back();
  return *ports_.back();
}

void LaneMirror::set_backend(BackendId id, const BackendTraits& traits, bool is_new) {
  from_control_.send([=, this] {
    if (is_new) {
      scheduler_.add_backend(id, traits);
    } else {
      scheduler_.set_backend(id, traits);
    }
    oracle_.on_set_backend(id, is_new);
    decide();
  });
}

void LaneMirror::set_up(BackendId id, bool up) {
  from_control_.send([=, this] {
    time_.note("lane: backend {} is {}", id, up ? "up" : "down");
    scheduler_.set_up(id, up);
    oracle_.on_set_up(id, up);
    decide();
  });
}

void LaneMirror::set_routes(Routes routes) {
  from_control_.send([this, routes = std::move(routes)] {
    routes_ = routes;
    const auto find = [this](std::uint64_t model) { return routes_.find(model); };
    scheduler_.reroute(find, routes_.complete);
    oracle_.on_rerouted();
    decide();
  });
}

void LaneMirror::set_options(const SchedulerOptions& options) {
  from_control_.send([=, this] {
    scheduler_.set_options(options);
    oracle_.on_set_options(options);
    decide();
  });
}

void LaneMirror::observe(BackendId id, const std::optional<EngineSample>& sample) {
  from_control_.send([=, this] {
    scheduler_.observe(id, sample, time_.now());
    tell_stalls();
    decide();
  });
}

void LaneMirror::drain() {
  from_control_.send([this] {
    scheduler_.drain();
    decide();
  });
}

void LaneMirror::handle(const PortMirror::Message& message) {
  switch (message.kind) {
    case PortMirror::Kind::kSubmit:
      if (message.ticket->routes != routes_.version) {
        message.ticket->backends = routes_.find(message.ticket->model);
        message.ticket->routes = routes_.version;
      }
      scheduler_.submit(*message.ticket);
      oracle_.on_submitted(*message.ticket, message.deaths);
      break;
    case PortMirror::Kind::kCancel:
      if (message.outcome == Outcome::kLeft) scheduler_.on_left(*message.ticket, time_.now());
      if (scheduler_.cancel(*message.ticket)) {
        oracle_.on_cancelled(*message.ticket);
        message.ticket->verdict.refused = Errc::kCancelled;
        by_port_[message.ticket->port].push_back(message.ticket);
      }
      by_port_[message.ticket->port].push_back(message.ticket);  // for the cancel() itself
      break;
    case PortMirror::Kind::kComplete:
      scheduler_.complete(message.grant, message.prompts, message.outcome, time_.now(),
                          message.pause);
      oracle_.on_completed(message.grant, message.prompts, message.completed, message.outcome,
                           message.pause);
      tell_stalls();
      break;
  }
}

// Nobody is asked elsewhere here: that is tested with real sockets.
void LaneMirror::tell_stalls() {
  for (const Stall& stall : scheduler_.take_stalls()) {
    time_.note("lane: backend {} {}", stall.backend, stall.stuck ? "stands still" : "moves");
    oracle_.on_stall(stall);
  }
}

void LaneMirror::decide() {
  scheduler_.take(time_.now(), decided_);
  tell_stalls();
  for (Ticket* ticket : decided_) {
    const auto& refused = ticket->verdict.refused;
    time_.note("lane: {} of client {} {} {}{}", ticket->verdict.batch.id, ticket->client,
               refused ? "refused:" : "to backend", ticket->verdict.backend,
               refused           ? describe(*refused).code
               : ticket->suspect ? ", alone"
                                 : "");
    oracle_.on_decided(*ticket, routes_);
    by_port_[ticket->port].push_back(ticket);
  }
  oracle_.after_take();
  decided_.clear();
  arm_timer();
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (by_port_[i].empty()) continue;
    ports_[i]->to_thread_.send([tickets = std::exchange(by_port_[i], {})] {
      for (Ticket* ticket : tickets) ticket->sink->on_returned(*ticket);
    });
  }
}

void LaneMirror::arm_timer() {
  const auto due = scheduler_.next_due();
  if (!due || *due >= armed_) return;
  armed_ = *due;
  time_.at(armed_, [this, armed = armed_] {
    if (armed == armed_) on_timer();
  });
}

// A timer that fires again at once, again and again, keeps a core busy for nothing.
void LaneMirror::on_timer() {
  armed_ = TimePoint::max();
  const std::uint64_t before = oracle_.decided();
  decide();
  const bool moved = oracle_.decided() > before || last_wake_ != time_.now();
  last_wake_ = time_.now();
  idle_wakes_ = moved ? 0 : idle_wakes_ + 1;
  if (idle_wakes_ > 2) throw Violation("the scheduler asks to be woken at once, again and again");
}

}  // namespace batchproxy::fault_sim
