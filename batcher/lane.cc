// batcher/lane.cc - see lane.h.
#include "batcher/lane.h"

#include <utility>

#include <boost/asio/post.hpp>

namespace batchproxy {

namespace {
constexpr std::size_t kBulk = 256;  // messages taken from a queue at a time

TimePoint now() {
  return std::chrono::steady_clock::now();
}
}  // namespace

// --- LanePort -----------------------------------------------------------------------------------

LanePort::LanePort(Lane& lane, std::uint32_t index, boost::asio::io_context& io)
    : lane_(lane), index_(index), io_(io), same_thread_(&io == &lane.io_) {}

void LanePort::submit(Ticket& ticket) {
  ticket.port = index_;
  send({.kind = Kind::kSubmit, .ticket = &ticket});
}

void LanePort::cancel(Ticket& ticket, bool client_left) {
  send({.kind = Kind::kCancel,
        .ticket = &ticket,
        .outcome = client_left ? Outcome::kLeft : Outcome::kUnknown});
}

void LanePort::complete(const Ticket& ticket, Outcome outcome, Duration pause) {
  send({.kind = Kind::kComplete,
        .outcome = outcome,
        .prompts = ticket.prompts,
        .grant = ticket.verdict,
        .batch = ticket.verdict.batch.id,
        .pause = pause});
}

void LanePort::send(const Message& message) {
  outgoing_.push_back(message);
  if (flush_posted_) return;
  flush_posted_ = true;
  boost::asio::post(io_, [this] { flush(); });
}

void LanePort::flush() {
  flush_posted_ = false;
  sending_.swap(outgoing_);
  if (same_thread_) {
    const TimePoint time = now();
    for (const Message& message : sending_) lane_.handle(message, time);
    sending_.clear();
    lane_.decide(time);
    return;
  }
  lane_.incoming_.enqueue_bulk(sending_.data(), sending_.size());
  sending_.clear();
  lane_.wake();
}

void LanePort::deliver(std::vector<Ticket*>& tickets) {
  if (same_thread_) {
    for (Ticket* ticket : tickets) ticket->sink->on_returned(*ticket);
  } else {
    inbox_.enqueue_bulk(tickets.data(), tickets.size());
    if (!inbox_awake_.exchange(true, std::memory_order_acq_rel)) {
      boost::asio::post(io_, [this] { receive(); });
    }
  }
  tickets.clear();
}

void LanePort::receive() {
  // Fall asleep before looking: what comes after the last look finds us asleep and wakes us again.
  inbox_awake_.exchange(false, std::memory_order_acq_rel);
  std::array<Ticket*, kBulk> tickets;
  while (const std::size_t n = inbox_.try_dequeue_bulk(tickets.data(), tickets.size())) {
    for (std::size_t i = 0; i < n; ++i) tickets[i]->sink->on_returned(*tickets[i]);
  }
}

// --- Lane ---------------------------------------------------------------------------------------

Lane::Lane(boost::asio::io_context& io, const SchedulerOptions& options)
    : io_(io), scheduler_(options), timer_(io), received_(kBulk) {}

LanePort& Lane::add_port(boost::asio::io_context& io) {
  const auto index = static_cast<std::uint32_t>(ports_.size());
  ports_.push_back(std::make_unique<LanePort>(*this, index, io));
  by_port_.emplace_back();
  return *ports_.back();
}

void Lane::add_backend(BackendId id, const BackendTraits& traits) {
  boost::asio::post(io_, [=, this] {
    scheduler_.add_backend(id, traits);
    decide(now());
  });
}

void Lane::set_backend(BackendId id, const BackendTraits& traits) {
  boost::asio::post(io_, [=, this] {
    scheduler_.set_backend(id, traits);
    decide(now());
  });
}

void Lane::observe(BackendId id, const std::optional<EngineSample>& sample) {
  boost::asio::post(io_, [=, this] {
    scheduler_.observe(id, sample, now());
    decide(now());
  });
}

void Lane::set_up(BackendId id, bool up) {
  boost::asio::post(io_, [=, this] {
    scheduler_.set_up(id, up);
    decide(now());
  });
}

void Lane::set_routes(Routes routes) {
  boost::asio::post(io_, [this, routes = std::move(routes)]() mutable {
    routes_ = std::move(routes);
    const auto find = [this](std::uint64_t model) { return routes_.find(model); };
    scheduler_.reroute(find, routes_.complete);
    decide(now());
  });
}

void Lane::set_options(const SchedulerOptions& options) {
  boost::asio::post(io_, [=, this] {
    scheduler_.set_options(options);
    decide(now());
  });
}

void Lane::drain() {
  boost::asio::post(io_, [this] {
    scheduler_.drain();
    decide(now());
  });
}

void Lane::wake() {
  if (!awake_.exchange(true, std::memory_order_acq_rel)) {
    boost::asio::post(io_, [this] { run(); });
  }
}

void Lane::run() {
  awake_.exchange(false, std::memory_order_acq_rel);  // see LanePort::receive()
  while (const std::size_t n = incoming_.try_dequeue_bulk(received_.data(), kBulk)) {
    const TimePoint time = now();
    for (std::size_t i = 0; i < n; ++i) handle(received_[i], time);
  }
  decide(now());
}

void Lane::handle(const LanePort::Message& message, TimePoint time) {
  switch (message.kind) {
    case LanePort::Kind::kSubmit:
      // Made with another table of models than ours: who serves it may have changed.
      if (message.ticket->routes != routes_.version) {
        const bool is_older = message.ticket->routes < routes_.version;
        message.ticket->backends = routes_.find(message.ticket->model) - message.ticket->never;
        message.ticket->routes = routes_.version;
        // One with a newer table waits until we have that too.
        if (is_older && message.ticket->backends.empty() && routes_.complete) {
          message.ticket->verdict = {};
          message.ticket->verdict.refused = Errc::kUnknownModel;
          by_port_[message.ticket->port].push_back(message.ticket);
          break;
        }
      }
      scheduler_.submit(*message.ticket);
      break;
    case LanePort::Kind::kCancel:
      if (message.outcome == Outcome::kLeft) scheduler_.on_left(*message.ticket, time);
      if (scheduler_.cancel(*message.ticket)) {
        message.ticket->verdict.refused = Errc::kCancelled;
        by_port_[message.ticket->port].push_back(message.ticket);
      }
      by_port_[message.ticket->port].push_back(message.ticket);  // for the cancel() itself
      break;
    case LanePort::Kind::kComplete:
      scheduler_.complete(message.grant, message.prompts, message.outcome, time, message.pause);
      if (on_batch_done_) {
        const bool ok = message.outcome == Outcome::kGood;
        const auto done = ledger_.completed(message.batch, message.prompts, ok, time);
        if (done) on_batch_done_(*done);
      }
      break;
  }
}

void Lane::decide(TimePoint time) {
  if (time >= scheduler_.progress_due()) tell_bytes(time);
  scheduler_.take(time, decided_);
  for (const Stall& stall : scheduler_.take_stalls()) {
    if (on_stall_) on_stall_(stall);
  }
  for (const Recall& recall : scheduler_.take_recalls()) {
    if (on_recall_) on_recall_(recall);
  }
  for (Ticket* ticket : decided_) {
    if (on_batch_done_ && !ticket->verdict.refused) ledger_.granted(ticket->verdict, time);
    by_port_[ticket->port].push_back(ticket);
  }
  decided_.clear();
  publish();
  arm_timer();
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (!by_port_[i].empty()) ports_[i]->deliver(by_port_[i]);
  }
}

// Streams are in flight for long: that bytes come tells that their backend gets on.
void Lane::tell_bytes(TimePoint time) {
  for (BackendId id = 0; id < scheduler_.backend_count(); ++id) {
    std::uint64_t pieces = 0;
    for (const auto& port : ports_) pieces += port->pieces_[id].load(std::memory_order_relaxed);
    if (std::exchange(pieces_[id], pieces) != pieces) scheduler_.on_bytes(id, time);
  }
}

// The timer is only ever moved closer; when it fires too early, decide() finds nothing due and sets
// it again. At load, where queues come and go within microseconds, it is hardly touched.
void Lane::arm_timer() {
  const auto due = scheduler_.next_due();
  if (!due || *due >= armed_) return;
  armed_ = *due;
  timer_.expires_at(armed_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    armed_ = TimePoint::max();
    decide(now());
  });
}

void Lane::publish() {
  stats_.queued.store(scheduler_.queued(), std::memory_order_relaxed);
  for (BackendId id = 0; id < scheduler_.backend_count(); ++id) {
    stats_.inflight[id].store(scheduler_.inflight(id), std::memory_order_relaxed);
    stats_.room[id].store(scheduler_.room(id), std::memory_order_relaxed);
    stats_.breaker_open[id].store(scheduler_.breaker_open(id), std::memory_order_relaxed);
    stats_.stuck[id].store(scheduler_.stuck(id), std::memory_order_relaxed);
  }
  const Scheduler::Gains& gains = scheduler_.gains();
  stats_.affine.store(gains.affine, std::memory_order_relaxed);
  stats_.merged_calls.store(gains.merged_calls, std::memory_order_relaxed);
  stats_.merged_tickets.store(gains.merged_tickets, std::memory_order_relaxed);
  for (const FlushReason reason : kAllFlushReasons) {
    stats_.batches[static_cast<std::size_t>(reason)].store(scheduler_.batches(reason),
                                                           std::memory_order_relaxed);
  }
}

}  // namespace batchproxy
