// proxy/limits/body_receiver.cc - see body_receiver.h.
#include "proxy/limits/body_receiver.h"

namespace batchproxy {

namespace {

// How often paused bodies look whether they may go on. Other threads free memory, too, and do not
// tell: this happens only under overload.
constexpr Duration kLook = std::chrono::milliseconds(20);

}  // namespace

void ReceiverQueue::look_again_soon() {
  if (!is_set()) deadlines_.set(*this, kLook);
}

void ReceiverQueue::on_expired() {
  const TimePoint now = std::chrono::steady_clock::now();
  bool some_wait = false;
  for (BodyReceiver& body : bodies_) {
    if (!body.paused_.is_waiting()) continue;
    if (body.may_read() || now >= body.paused_until_ || !body.connection_.is_open()) {
      body.paused_.wake_later(body.connection_.executor());
    } else {
      some_wait = true;
    }
  }
  if (some_wait) look_again_soon();
}

Task<bool> BodyReceiver::before_wait(std::uint64_t received) {
  const TimePoint asked = std::chrono::steady_clock::now();
  if (!pace_) {
    pace_.emplace(limits_, asked);
    queue_.bodies_.push_back(*this);
  }
  hold_.set(received);
  TimePoint now = asked;
  if (!may_read()) {
    paused_until_ = asked + limits_.stall;
    connection_.never_expire();
    connection_.on_peer_gone([this] { paused_.wake_later(connection_.executor()); });
    while (connection_.is_open() && !may_read() && now < paused_until_) {
      queue_.look_again_soon();
      co_await paused_.wait();
      now = std::chrono::steady_clock::now();
    }
    connection_.on_peer_gone(nullptr);
    overloaded_ = connection_.is_open() && !may_read();
    if (overloaded_ || !connection_.is_open()) co_return false;
    pace_->excuse(now - asked);
  }
  connection_.stop_reading_at(pace_->deadline(received, now));
  co_return true;
}

bool BodyReceiver::may_read() {
  return queue_.share_.may_read() || this == &queue_.bodies_.front();
}

void ByteHold::set(std::uint64_t bytes) {
  if (bytes > bytes_) {
    queue_.share_.take(bytes - bytes_);
  } else {
    queue_.share_.give(bytes_ - bytes);
  }
  bytes_ = bytes;
}

}  // namespace batchproxy
