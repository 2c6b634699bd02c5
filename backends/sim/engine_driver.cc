// backends/sim/engine_driver.cc - the only place where simulated and real time meet.
#include "backends/sim/engine_driver.h"

#include <utility>

#include <boost/asio/error.hpp>

namespace batchproxy::sim {

PendingCall::PendingCall(const boost::asio::any_io_executor& executor, CallId call_id,
                         std::unique_ptr<ApiCall> api_call)
    : id(call_id),
      call(std::move(api_call)),
      changed(executor, boost::asio::steady_timer::time_point::max()) {}

EngineDriver::EngineDriver(const boost::asio::any_io_executor& executor, ServerModel& model,
                           Api& api, double real_seconds)
    : executor_(executor),
      model_(model),
      api_(api),
      real_seconds_(real_seconds),
      timer_(executor),
      origin_(Clock::now()) {}

std::shared_ptr<PendingCall> EngineDriver::start(std::unique_ptr<ApiCall> call) {
  advance();
  const CallId id = next_call_++;
  if (!model_.begin_call(id, call->work(), call->stream(), virtual_now())) return nullptr;
  auto pending = std::make_shared<PendingCall>(executor_, id, std::move(call));
  pending_.emplace(id, pending);
  arm();
  return pending;
}

void EngineDriver::cancel(PendingCall& pending) {
  if (pending_.erase(pending.id) == 0) return;
  advance();
  model_.cancel_call(pending.id);
  arm();
}

void EngineDriver::die() {
  timer_.cancel();
  for (const auto& [id, pending] : std::exchange(pending_, {})) {
    pending->failed = true;
    pending->wake();
  }
}

void EngineDriver::set_hanging(bool hanging) {
  if (hanging == hanging_) return;
  advance();
  if (hanging) {
    hung_at_ = virtual_now();
  } else {
    origin_ = Clock::now() - (real_time(hung_at_) - origin_);
  }
  hanging_ = hanging;
  arm();
}

double EngineDriver::virtual_now() const {
  if (hanging_) return hung_at_;
  return std::chrono::duration<double>(Clock::now() - origin_).count() / real_seconds_;
}

EngineDriver::Clock::time_point EngineDriver::real_time(double virtual_time) const {
  const std::chrono::duration<double> since_origin(virtual_time * real_seconds_);
  return origin_ + std::chrono::ceil<Clock::duration>(since_origin);
}

void EngineDriver::advance() {
  for (const Delivery& delivery : model_.advance(virtual_now())) deliver(delivery);
}

void EngineDriver::deliver(const Delivery& delivery) {
  const auto found = pending_.find(delivery.call);
  if (found == pending_.end()) return;  // being cancelled
  const std::shared_ptr<PendingCall> pending = found->second;
  ApiCall& call = *pending->call;
  if (call.stream()) {
    if (!std::exchange(pending->started, true)) pending->events += call.opening();
    pending->events += call.next_chunk(delivery.item);
    if (delivery.call_finished) pending->events += call.closing();
  }
  if (delivery.call_finished) {
    pending->done = true;
    api_.on_answered(call);
    pending_.erase(found);
  }
  if (call.stream() || pending->done) pending->wake();
}

void EngineDriver::arm() {
  const std::optional<double> next = model_.next_event();
  if (!next || hanging_) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(real_time(*next));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error == boost::asio::error::operation_aborted) return;  // set anew, or shutting down
    advance();
    arm();
  });
}

}  // namespace batchproxy::sim
