// backends/net/connection.cc - see connection.h.
#include "backends/net/connection.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace batchproxy {

namespace {

constexpr std::size_t kMaxPieces = 16;  // of one gathered write
constexpr std::size_t kMostCopied = 2048;
constexpr int kReadsPerTurn = 16;       // while dropping what a lingering peer still sends

ErrorCode last_error() {
  return {errno, boost::system::system_category()};
}

ssize_t send_pieces(int socket, std::span<const asio::const_buffer> buffers) {
  std::array<iovec, kMaxPieces> pieces;
  msghdr message{};
  message.msg_iov = pieces.data();
  for (const asio::const_buffer& buffer : buffers) {
    pieces[message.msg_iovlen++] = {const_cast<void*>(buffer.data()), buffer.size()};
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

// As send(). Few bytes are copied together first: that costs less than to have the kernel collect
// them (docs/PERFORMANCE.md).
ssize_t send_now(int socket, std::span<const asio::const_buffer> buffers) {
  std::array<char, kMostCopied> together;
  asio::const_buffer whole = buffers.front();
  if (buffers.size() > 1) {
    if (asio::buffer_size(buffers) > together.size()) return send_pieces(socket, buffers);
    whole = asio::buffer(together.data(), asio::buffer_copy(asio::buffer(together), buffers));
  }
  return ::send(socket, whole.data(), whole.size(), MSG_NOSIGNAL);
}

}  // namespace

ErrorCode Connection::start(int socket) {
  socket_ = socket;
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const ErrorCode error = poller_.add(socket_, *this);
  watched_ = !error;
  if (error) close();
  return error;
}

// Drops the socket of a failed attempt, so that connect() can be called again.
void Connection::forget_try() {
  forget_socket();
  readable_ = read_until_empty_ = connecting_expired_ = false;
  tls_.reset();
}

Task<ErrorCode> Connection::connect(const asio::ip::tcp::endpoint& to) {
  forget_try();
  socket_ = ::socket(to.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ < 0) co_return last_error();
  const bool connected = ::connect(socket_, to.data(), static_cast<socklen_t>(to.size())) == 0;
  if (!connected && errno != EINPROGRESS) co_return last_error();
  // Not earlier: a socket that is not even connecting is reported as hung up.
  const ErrorCode error = start(socket_);
  if (error || connected) co_return error;
  co_await writer_.wait();
  if (!is_open()) co_return ErrorCode(asio::error::operation_aborted);
  if (connecting_expired_) co_return ErrorCode(asio::error::timed_out);
  int number = 0;
  socklen_t size = sizeof(number);
  ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &number, &size);
  co_return ErrorCode(number, boost::system::system_category());
}

void Connection::on_ready(Ready ready) {
  const Ptr self = shared_from_this();  // the woken coroutine may drop the last other reference
  read_until_empty_ = read_until_empty_ || ready.read_until_empty;
  readable_ = readable_ || ready.readable;
  if (tls_ && ready.readable) tls_->on_readable();
  if (ready.writable) {
    if (tls_) flush_sealed();
    writer_.wake();
  }
  if (!readable_ || !is_open()) return;
  if (lingering_) return drop_unread();
  if (reader_.is_waiting()) return reader_.wake();
  if (gone_ && read_until_empty_ && peek() == Peek::kEnd) close(Closed::kByPeer);
}

void Connection::on_abandoned() {
  watched_ = false;
  close();
}

// Looks without taking: the bytes may begin the client's next request, which is read in its turn.
Connection::Peek Connection::peek() {
  if (tls_) return peek_sealed();
  char byte = 0;
  const ssize_t n = ::recv(socket_, &byte, 1, MSG_PEEK);
  if (n > 0) return Peek::kBytes;
  if (n == 0 || errno != EAGAIN) return Peek::kEnd;
  readable_ = false;  // the last read took exactly what there was, and could not know that
  return Peek::kNothing;
}

bool Connection::has_unread() {
  return !is_open() || (readable_ && peek() != Peek::kNothing);
}

asio::ip::tcp::endpoint Connection::peer() const {
  asio::ip::tcp::endpoint peer;
  auto size = static_cast<socklen_t>(peer.capacity());
  if (::getpeername(socket_, peer.data(), &size) != 0) return {};
  peer.resize(size);
  return peer;
}

std::string Connection::peer_address() const {
  const asio::ip::tcp::endpoint from = peer();
  return from.port() == 0 ? std::string() : from.address().to_string();
}

int Connection::unsent() const {
  int bytes = 0;
  ::ioctl(socket_, SIOCOUTQ, &bytes);
  return bytes + (tls_ ? static_cast<int>(tls_->sealed()) : 0);
}

bool Connection::must_wait() {
  return !readable_ && is_open();
}

bool Connection::may_read() {
  const bool expired = std::exchange(reading_expired_, false);
  return is_open() && !expired;
}

void Connection::on_expired() {
  // A socket reports that it takes more only when a good part of its buffer is free. So a slow
  // peer is seen to read by the count of unsent bytes, and its stall time begins anew.
  if (write_stall_ > Duration::zero()) {
    const int left = unsent();
    if (std::exchange(unsent_, left) > left) return expire_in(write_stall_);
  }
  switch (expires_) {
    case Expires::kConnection:
      return close(Closed::kTimedOut);
    case Expires::kReading:
      reading_expired_ = reader_.is_waiting();
      return reader_.wake();
    case Expires::kConnecting:
      connecting_expired_ = writer_.is_waiting();
      return writer_.wake();
  }
}

std::optional<std::size_t> Connection::read_some(std::span<char> into) {
  if (!is_open()) return std::nullopt;
  if (tls_) return read_sealed(into);
  const ssize_t n = ::recv(socket_, into.data(), into.size(), 0);
  if (n < 0 && errno == EAGAIN) {
    readable_ = false;
    return 0;
  }
  if (n <= 0) {
    close(Closed::kByPeer);
    return std::nullopt;
  }
  const auto read = static_cast<std::size_t>(n);
  // A short read has emptied the socket, as a rule, and what comes then is reported.
  if (read < into.size() && !read_until_empty_) readable_ = false;
  return read;
}

std::size_t Connection::try_write(std::span<const asio::const_buffer> buffers) {
  if (!is_open()) return 0;
  if (tls_) {
    const auto taken = tls_->write(buffers);
    if (!taken) close(Closed::kByPeer);
    return taken.value_or(0);
  }
  const ssize_t n = send_now(socket_, buffers.first(std::min(buffers.size(), kMaxPieces)));
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno != EAGAIN) close(Closed::kByPeer);
  return 0;
}

Task<bool> Connection::write_rest(std::span<const asio::const_buffer> buffers, std::size_t sent,
                                  std::optional<Duration> stall) {
  if (stall) never_expire();
  for (asio::const_buffer rest : buffers) {
    const std::size_t skipped = std::min(sent, rest.size());
    rest += skipped;
    sent -= skipped;
    while (rest.size() > 0 && is_open()) {
      rest += try_write({&rest, 1});
      if (rest.size() == 0 || !is_open()) break;
      if (stall) {
        unsent_ = unsent();
        write_stall_ = *stall;
        expire_in(*stall);
      }
      co_await writer_.wait();
      write_stall_ = {};
    }
  }
  if (stall && is_open()) never_expire();
  co_return is_open();
}

Task<bool> Connection::write(std::string_view bytes, std::optional<Duration> stall) {
  const asio::const_buffer buffer(bytes.data(), bytes.size());
  co_return co_await write_rest(std::span(&buffer, 1), 0, stall);
}

void Connection::on_peer_gone(std::function<void()> gone) {
  gone_.swap(gone);
  if (gone_ && readable_ && is_open() && peek() == Peek::kEnd) close(Closed::kByPeer);
}

void Connection::close(Closed why) {
  if (!is_open()) return;
  const Ptr self = std::move(lingering_);  // maybe the last reference to this connection
  closed_ = why;
  clear();
  if (tls_ && why != Closed::kByPeer) {
    tls_->say_goodbye();
    tls_->flush();
  }
  forget_socket();
  // From the event loop, not from here: close() must return before a woken reader runs.
  if (reader_.is_waiting()) reader_.wake_later(executor());
  if (writer_.is_waiting()) writer_.wake_later(executor());
  if (auto gone = std::exchange(gone_, {}); gone && why != Closed::kByUs) gone();
}

int Connection::release() {
  if (std::exchange(watched_, false)) poller_.remove(socket_, *this);
  const int socket = std::exchange(socket_, -1);
  close();
  return socket;
}

void Connection::forget_socket() {
  if (std::exchange(watched_, false)) poller_.remove(socket_, *this);
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

void Connection::close_lingering(Duration patience) {
  if (!is_open()) return;
  gone_ = {};
  if (tls_) tls_->say_goodbye();
  // What is sealed goes first: flush_sealed() ends our side then.
  const bool later = tls_ && tls_->flush() && tls_->has_sealed();
  if (!watched_ || (!later && ::shutdown(socket_, SHUT_WR) != 0)) return close();
  lingering_ = shared_from_this();
  if (later) {
    // As long as its peer takes some of it.
    unsent_ = unsent();
    write_stall_ = patience;
  }
  expire_in(patience);
  if (readable_) drop_unread();
}

// --- TLS ----------------------------------------------------------------------------------------

Task<bool> Connection::shake_hands() {
  while (is_open()) {
    const TlsLayer::State state = tls_->shake_hands();
    if (state == TlsLayer::State::kBroken || state == TlsLayer::State::kEnded) break;
    readable_ = !tls_->has_emptied_socket() || read_until_empty_;
    if (state == TlsLayer::State::kMore) co_return true;
    readable_ = false;  // it has taken all that there was
    if (must_wait()) co_await wait();
    if (!may_read()) break;
  }
  co_return false;
}

bool Connection::gives_up_tls() {
  if (!is_open() || !tls_->is_plain_http()) return false;
  tls_.reset();
  return true;
}

std::optional<std::size_t> Connection::read_sealed(std::span<char> into) {
  const TlsLayer::Read read = tls_->read(into);
  switch (read.state) {
    case TlsLayer::State::kMore:
      // What is left within will not be reported.
      readable_ = !tls_->has_emptied_socket() || read_until_empty_;
      return read.bytes;
    case TlsLayer::State::kWait:
      readable_ = false;
      return 0;
    case TlsLayer::State::kEnded:
    case TlsLayer::State::kBroken:
      break;
  }
  close(Closed::kByPeer);
  return std::nullopt;
}

Connection::Peek Connection::peek_sealed() {
  switch (tls_->peek()) {
    case TlsLayer::State::kMore:
      return Peek::kBytes;
    case TlsLayer::State::kWait:
      readable_ = false;
      return Peek::kNothing;
    case TlsLayer::State::kEnded:
    case TlsLayer::State::kBroken:
      break;
  }
  return Peek::kEnd;
}

void Connection::flush_sealed() {
  if (!tls_->has_sealed()) return;
  if (!tls_->flush()) return close(Closed::kByPeer);
  if (!lingering_ || tls_->has_sealed()) return;
  expire_in(std::exchange(write_stall_, {}));
  ::shutdown(socket_, SHUT_WR);
}

// Reads and drops until nothing is left for now, or until the peer ends, which closes us. After
// kReadsPerTurn reads the event loop gets its turn: a fast peer must not keep the thread.
void Connection::drop_unread() {
  std::array<char, 4096> dropped;
  for (int reads = 0; readable_ && !dropping_ && reads < kReadsPerTurn; ++reads) {
    if (!read_some(dropped)) return;
  }
  if (!readable_ || std::exchange(dropping_, true)) return;
  asio::post(executor(), [self = lingering_] {
    self->dropping_ = false;
    if (self->is_open()) self->drop_unread();
  });
}

}  // namespace batchproxy
