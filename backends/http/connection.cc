// backends/http/connection.cc - see connection.h.
#include "backends/http/connection.h"

#include <array>
#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

namespace batchproxy {

Connection::Connection(Socket socket, DeadlineQueue& deadlines)
    : socket_(std::move(socket)), deadlines_(deadlines) {}

Connection::~Connection() = default;

void Connection::start() {
  ErrorCode ignored;
  socket_.non_blocking(true, ignored);
  ::fcntl(socket_.native_handle(), F_SETFD, FD_CLOEXEC);  // engines must not inherit it
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  arm();
}

void Connection::arm() {
  if (armed_ || !is_open()) return;
  armed_ = true;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const ErrorCode& error) {
    self->on_readable(error);
  });
}

void Connection::on_readable(const ErrorCode& error) {
  armed_ = false;
  if (error || !is_open()) return close(Closed::kByPeer);
  readable_ = true;
  if (lingering_) {
    std::array<char, 4096> dropped;
    if (!read_some(dropped)) return;
    return arm();
  }
  if (reader_.is_waiting()) return reader_.wake();
  if (gone_ && peek() == Peek::kEnd) close(Closed::kByPeer);
}

// Looks without taking: bytes may be the start of the client's next request, which is not ours yet.
Connection::Peek Connection::peek() {
  char byte = 0;
  ErrorCode error;
  const std::size_t n =
      socket_.receive(asio::buffer(&byte, 1), asio::socket_base::message_peek, error);
  if (error == asio::error::would_block) return Peek::kNothing;
  return error || n == 0 ? Peek::kEnd : Peek::kBytes;
}

bool Connection::has_unread() {
  if (!is_open() || peek() != Peek::kNothing) return true;
  // The last read took exactly what there was, and could not know that.
  readable_ = false;
  arm();
  return false;
}

int Connection::unsent() {
  int bytes = 0;
  ::ioctl(socket_.native_handle(), SIOCOUTQ, &bytes);
  return bytes;
}

bool Connection::must_wait() {
  if (readable_ || !is_open()) return false;
  arm();
  return true;
}

bool Connection::may_read() {
  const bool expired = std::exchange(reading_expired_, false);
  return is_open() && !expired;
}

void Connection::on_expired() {
  // The socket takes more only when a good part of its buffer is free: that a slow peer reads at
  // all shows in what is left of it.
  if (write_stall_ > Duration::zero()) {
    const int left = unsent();
    if (std::exchange(unsent_, left) > left) return expire_in(write_stall_);
  }
  if (!only_reading_expires_) return close(Closed::kTimedOut);
  reading_expired_ = reader_.is_waiting();
  reader_.wake();
}

std::optional<std::size_t> Connection::read_some(std::span<char> into) {
  if (!is_open()) return std::nullopt;
  ErrorCode error;
  const std::size_t n = socket_.read_some(asio::buffer(into.data(), into.size()), error);
  if (error == asio::error::would_block) {
    readable_ = false;
    arm();
    return 0;
  }
  if (error || n == 0) {
    close(Closed::kByPeer);
    return std::nullopt;
  }
  // A short read has emptied the socket; otherwise there may be more, and we are asked again.
  if (n < into.size()) {
    readable_ = false;
    arm();
  }
  return n;
}

std::size_t Connection::try_write(std::span<const asio::const_buffer> buffers) {
  if (!is_open()) return 0;
  ErrorCode error;
  const std::size_t sent = socket_.write_some(buffers, error);
  if (error && error != asio::error::would_block) close(Closed::kByPeer);
  return sent;
}

Task<bool> Connection::write(std::span<const asio::const_buffer> buffers,
                             std::optional<Duration> stall, std::size_t from) {
  if (stall) never_expire();
  if (from == 0) from = try_write(buffers);
  if (!is_open()) co_return false;
  for (asio::const_buffer rest : buffers) {
    const std::size_t skipped = std::min(from, rest.size());
    rest += skipped;
    from -= skipped;
    while (rest.size() > 0) {
      if (stall) {
        unsent_ = unsent();
        write_stall_ = *stall;
        expire_in(*stall);
      }
      ErrorCode failed;
      const std::size_t n =
          co_await socket_.async_write_some(rest, asio::redirect_error(use_task, failed));
      rest += n;
      write_stall_ = {};
      if (failed) {
        close(Closed::kByPeer);
        co_return false;
      }
    }
  }
  if (stall) never_expire();
  co_return is_open();
}

Task<bool> Connection::write(std::string_view bytes, std::optional<Duration> stall) {
  const asio::const_buffer buffer(bytes.data(), bytes.size());
  co_return co_await write(std::span(&buffer, 1), stall);
}

void Connection::on_peer_gone(std::function<void()> gone) {
  gone_ = std::move(gone);
  if (!gone_ || !readable_ || !is_open()) return;
  switch (peek()) {
    case Peek::kEnd:
      close(Closed::kByPeer);
      break;
    case Peek::kNothing:  // the last read took exactly what there was
      readable_ = false;
      arm();
      break;
    case Peek::kBytes:
      break;
  }
}

void Connection::close(Closed why) {
  if (!is_open()) return;
  closed_ = why;
  clear();
  ErrorCode ignored;
  socket_.close(ignored);
  // Later, not from in here: whoever closes us must not find its reader's work done on return.
  reader_.wake_later(socket_.get_executor());
  if (auto gone = std::exchange(gone_, {}); gone && why != Closed::kByUs) gone();
}

void Connection::close_lingering(Duration patience) {
  if (!is_open()) return;
  gone_ = {};
  ErrorCode error;
  socket_.shutdown(Socket::shutdown_send, error);
  if (error) return close();
  lingering_ = true;
  expire_in(patience);
  if (readable_) {
    readable_ = false;
    on_readable({});
  } else {
    arm();
  }
}

}  // namespace batchproxy
