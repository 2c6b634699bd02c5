// backends/net/connection.h - Connection: one TCP connection, client's or backend's, that costs
// nothing while idle and notices at any time that its peer has left.
//
// The thread's Poller reports at any time, so an idle connection holds no buffer. A peer that
// closes is seen while its request is being worked on, and while a pooled connection is idle,
// unless unread bytes lie before its end. Writes are tried at once; they wait only while the
// socket is full.
//
// Reading, writing, connecting, deadlines and closing are one type, because they share one socket
// and its end: whichever sees it first ends all others.
//
// Threading: confined to the I/O thread whose Poller it was made with.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/buffer.hpp>

#include "backends/net/deadline.h"
#include "backends/net/poller.h"
#include "backends/net/task.h"
#include "backends/net/tls.h"
#include "backends/net/waiter.h"

namespace batchproxy {

class Connection final : public std::enable_shared_from_this<Connection>,
                         private Deadline,
                         private Pollable {
 public:
  using Ptr = std::shared_ptr<Connection>;

  // Why a connection is closed, when we know better than the error code does.
  enum class Closed { kNo, kByPeer, kByUs, kTimedOut };

  // Not connected yet: begins with start() or connect().
  Connection(Poller& poller, DeadlineQueue& deadlines) : poller_(poller), deadlines_(deadlines) {}
  ~Connection() { forget_socket(); }

  // Takes `socket` over, which is connected and does not block. Fails when the system has no room
  // to watch it.
  ErrorCode start(int socket);
  // While it is open, another address may be tried when one has failed, or the same one when the
  // system had no descriptor for it (EMFILE, ENFILE).
  Task<ErrorCode> connect(const asio::ip::tcp::endpoint& to);

  // From here on it speaks TLS, with `server`, or as the server itself: shake_hands() comes first.
  // What follows then reads and writes what is within.
  void secure(const TlsContext& context, const std::string& server = {}) {
    tls_ = std::make_unique<TlsLayer>(context, socket_, server);
  }
  bool is_secured() const { return tls_ != nullptr; }
  // False when it has failed, or the time given to stop_reading_in() is up.
  Task<bool> shake_hands();
  // After that: whether the peer does not speak TLS, but HTTP. Then we do as it does.
  bool gives_up_tls();

  // To read: `if (must_wait()) co_await wait();`, and if may_read() then says so, read_some(). In
  // three steps because most reads need not wait, and then cost no coroutine.
  bool must_wait();
  // Completes when bytes, or the peer's end, can be read, and when may_read() has become false.
  auto wait() { return reader_.wait(); }
  // False once closed, or when the time given to stop_reading_in() is up.
  bool may_read();

  // Reads what is there into `into` without waiting: the number of bytes, or nothing when the peer
  // has ended or the connection is broken. 0 bytes means "wait again".
  std::optional<std::size_t> read_some(std::span<char> into);

  // Sends what the socket takes at once, nearly always all. Returns how many bytes that were; fewer
  // than all also when the connection broke, and then it is not open any more.
  std::size_t try_write(std::span<const asio::const_buffer> buffers);
  // Writes all of `bytes`; false when the connection broke. With `stall`, a peer that takes no byte
  // for so long is cut off, and no other deadline is left afterwards.
  Task<bool> write(std::string_view bytes, std::optional<Duration> stall = std::nullopt);
  // Likewise all of `buffers` but the first `sent` bytes, which try_write() has sent.
  Task<bool> write_rest(std::span<const asio::const_buffer> buffers, std::size_t sent,
                        std::optional<Duration> stall = std::nullopt);

  // Calls `gone` once if the peer leaves while nobody is in wait(). Null to stop.
  void on_peer_gone(std::function<void()> gone);

  // Closes the connection after `in`, unless called again or cleared first; then closed() is
  // kTimedOut and pending operations end.
  void expire_in(Duration in) {
    expires_ = Expires::kConnection;
    deadlines_.set(*this, in);
  }
  void expire_at(TimePoint at) {
    expires_ = Expires::kConnection;
    deadlines_.set(*this, at);
  }
  void never_expire() { clear(); }
  // Ends waiting for bytes after `in`, and leaves the connection open for an answer.
  void stop_reading_in(Duration in) {
    expires_ = Expires::kReading;
    deadlines_.set(*this, in);
  }
  void stop_reading_at(TimePoint at) {
    expires_ = Expires::kReading;
    deadlines_.set(*this, at);
  }
  // Ends connect() with timed_out at that time, and leaves the connection open for another try.
  void stop_connecting_at(TimePoint at) {
    expires_ = Expires::kConnecting;
    deadlines_.set(*this, at);
  }

  void close(Closed why = Closed::kByUs);
  // Gives the open socket, which is plain, away; the connection is closed for us, and its peer
  // notices nothing.
  int release();
  // Closes without losing the peer our last bytes: sends FIN, then reads and drops until the peer
  // closes or `patience` runs out (RFC 9112 9.6). The connection keeps itself alive meanwhile.
  void close_lingering(Duration patience);

  Closed closed() const { return closed_; }
  bool is_open() const { return closed_ == Closed::kNo; }
  // Whether bytes, or the peer's end, have come that nobody has read yet: on an idle pooled
  // connection this means that it is of no use any more. What has come since the poller's last look
  // is not known: to ask the kernel each time costs 4 % of a hop (docs/PERFORMANCE.md).
  bool has_unread();
  // Some of what was written is still with us.
  bool is_flushing() const { return tls_ && tls_->has_sealed(); }
  // Whether bytes have come, and not just the peer's end.
  bool has_bytes() { return is_open() && peek() == Peek::kBytes; }
  // The peer's IP address; empty once the socket has lost it.
  std::string peer_address() const;
  asio::ip::tcp::endpoint peer() const;  // address and port; empty likewise
  int descriptor() const { return socket_; }
  // A number that the connection's owner may keep with it (the pool: its address); 0 at first.
  void set_mark(std::uint32_t mark) { mark_ = mark; }
  std::uint32_t mark() const { return mark_; }
  IoExecutor executor() { return poller_.executor(); }

 private:
  void on_expired() override;
  void on_ready(Ready ready) override;
  void on_abandoned() override;
  void forget_socket();
  void drop_unread();
  void forget_try();
  enum class Expires : std::uint8_t { kConnection, kReading, kConnecting };
  enum class Peek { kNothing, kBytes, kEnd };
  Peek peek();
  std::optional<std::size_t> read_sealed(std::span<char> into);
  Peek peek_sealed();
  void flush_sealed();
  int unsent() const;

  Poller& poller_;
  DeadlineQueue& deadlines_;
  std::function<void()> gone_;
  Ptr lingering_;  // keeps us alive while we linger
  Waiter reader_;
  Waiter writer_;
  std::unique_ptr<TlsLayer> tls_;  // null: it is plain
  int socket_ = -1;
  bool watched_ = false;           // by the poller
  bool readable_ = false;          // reported, and no read has found the socket empty since
  bool read_until_empty_ = false;  // see Pollable
  bool dropping_ = false;          // drop_unread() will be called from the event loop
  bool reading_expired_ = false;
  bool connecting_expired_ = false;
  Expires expires_ = Expires::kConnection;
  std::uint32_t mark_ = 0;
  int unsent_ = 0;          // bytes that the peer had not taken when write_stall_ began to run
  Duration write_stall_{};  // 0 unless a write with one waits
  Closed closed_ = Closed::kNo;
};

}  // namespace batchproxy
