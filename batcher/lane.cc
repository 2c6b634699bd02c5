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

// --- LaneHandle ----------------------------------------------------------------------------------

LaneHandle::LaneHandle(Lane& lane, std::uint32_t index, boost::asio::io_context& io)
    : lane_(lane), index_(index), io_(io), same_thread_(&io == &lane.io_) {}

void LaneHandle::submit(Ticket& ticket) {
  ticket.handle = index_;
  send(LaneMessage::submit(ticket));
}

void LaneHandle::cancel(Ticket& ticket, bool client_left) {
  send(LaneMessage::cancel(ticket, client_left));
}

void LaneHandle::complete(const Ticket& ticket, Outcome outcome, Duration pause) {
  send(LaneMessage::complete(ticket, outcome, pause));
}

void LaneHandle::send(const LaneMessage& message) {
  outgoing_.push_back(message);
  if (flush_posted_) return;
  flush_posted_ = true;
  boost::asio::post(io_, [this] { flush(); });
}

void LaneHandle::flush() {
  flush_posted_ = false;
  sending_.swap(outgoing_);
  if (same_thread_) {
    const TimePoint time = now();
    for (const LaneMessage& message : sending_) lane_.handle(message, time);
    sending_.clear();
    lane_.decide(time);
    return;
  }
  lane_.incoming_.enqueue_bulk(sending_.data(), sending_.size());
  sending_.clear();
  lane_.wake();
}

void LaneHandle::deliver(std::vector<Ticket*>& tickets) {
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

void LaneHandle::receive() {
  // Fall asleep before looking: what comes after the last look finds us asleep and wakes us again.
  inbox_awake_.exchange(false, std::memory_order_acq_rel);
  std::array<Ticket*, kBulk> tickets;
  while (const std::size_t n = inbox_.try_dequeue_bulk(tickets.data(), tickets.size())) {
    for (std::size_t i = 0; i < n; ++i) tickets[i]->sink->on_returned(*tickets[i]);
  }
}

// --- Lane ---------------------------------------------------------------------------------------

Lane::Lane(boost::asio::io_context& io, const SchedulerOptions& options)
    : io_(io), core_(options), timer_(io), received_(kBulk) {}

LaneHandle& Lane::add_handle(boost::asio::io_context& io) {
  const auto index = static_cast<std::uint32_t>(handles_.size());
  handles_.push_back(std::make_unique<LaneHandle>(*this, index, io));
  core_.add_handle();
  return *handles_.back();
}

// On the lane's thread.
template <class Change>
void Lane::change(Change change) {
  boost::asio::post(io_, [this, change = std::move(change)]() mutable {
    const TimePoint time = now();
    change(core_, time);
    decide(time);
  });
}

void Lane::add_backend(BackendId id, const BackendTraits& traits) {
  change([=](LaneCore& core, TimePoint) { core.add_backend(id, traits); });
}

void Lane::set_backend(BackendId id, const BackendTraits& traits) {
  change([=](LaneCore& core, TimePoint) { core.set_backend(id, traits); });
}

void Lane::observe(BackendId id, const std::optional<EngineSample>& sample) {
  change([=](LaneCore& core, TimePoint time) { core.observe(id, sample, time); });
}

void Lane::set_up(BackendId id, bool up) {
  change([=](LaneCore& core, TimePoint) { core.set_up(id, up); });
}

void Lane::set_routes(Routes routes) {
  change([routes = std::move(routes)](LaneCore& core, TimePoint) mutable {
    core.set_routes(std::move(routes));
  });
}

void Lane::set_options(const SchedulerOptions& options) {
  change([=](LaneCore& core, TimePoint) { core.set_options(options); });
}

void Lane::drain() {
  change([](LaneCore& core, TimePoint) { core.drain(); });
}

void Lane::wake() {
  if (!awake_.exchange(true, std::memory_order_acq_rel)) {
    boost::asio::post(io_, [this] { run(); });
  }
}

void Lane::run() {
  awake_.exchange(false, std::memory_order_acq_rel);  // see LaneHandle::receive()
  while (const std::size_t n = incoming_.try_dequeue_bulk(received_.data(), kBulk)) {
    const TimePoint time = now();
    for (std::size_t i = 0; i < n; ++i) handle(received_[i], time);
  }
  decide(now());
}

void Lane::decide(TimePoint time) {
  if (core_.wants_pieces(time)) tell_pieces(time);
  core_.decide(time);
  arm_timer();
  for (std::uint32_t handle = 0; handle < handles_.size(); ++handle) {
    std::vector<Ticket*>& tickets = core_.outbox(handle);
    if (!tickets.empty()) handles_[handle]->deliver(tickets);
  }
}

void Lane::tell_pieces(TimePoint time) {
  for (BackendId id = 0; id < core_.scheduler().backend_count(); ++id) {
    std::uint64_t pieces = 0;
    for (const auto& handle : handles_)
      pieces += handle->pieces_[id].load(std::memory_order_relaxed);
    core_.set_pieces(id, pieces, time);
  }
}

// The timer is only ever moved closer; when it fires too early, decide() finds nothing due and sets
// it again. At load, where queues come and go within microseconds, it is hardly touched.
void Lane::arm_timer() {
  const auto due = core_.next_due();
  if (!due || *due >= armed_) return;
  armed_ = *due;
  timer_.expires_at(armed_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    armed_ = TimePoint::max();
    decide(now());
  });
}

}  // namespace batchproxy
