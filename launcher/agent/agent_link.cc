// launcher/agent/agent_link.cc - see agent_link.h.
#include "launcher/agent/agent_link.h"

#include <array>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace batchproxy {
namespace {

namespace asio = boost::asio;

// Idle for four seconds, then asked every two: three without an answer are the end.
constexpr int kIdle = 4;
constexpr int kBetween = 2;
constexpr int kAsked = 3;
constexpr int kUnanswered = 10'000;  // ms in which what was sent may stay without an answer

void notice_vanished_peers(int socket) {
  const auto set = [socket](int level, int name, int value) {
    ::setsockopt(socket, level, name, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kIdle);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kBetween);
  set(IPPROTO_TCP, TCP_KEEPCNT, kAsked);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, kUnanswered);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
}

}  // namespace

struct AgentLink::State : std::enable_shared_from_this<State> {
  explicit State(asio::ip::tcp::socket its_socket) : socket(std::move(its_socket)) {
    ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);  // its end is ours alone
    notice_vanished_peers(socket.native_handle());
  }

  void listen(Hooks its_hooks) {
    hooks = std::make_shared<Hooks>(std::move(its_hooks));
    if (std::exchange(is_reading, true)) return;
    read();
  }

  void read() {
    socket.async_read_some(asio::buffer(buffer),
                           [self = shared_from_this()](const auto& error, std::size_t count) {
                             if (error == asio::error::eof)
                               return self->end("the other side has closed the connection");
                             if (error) return self->end(error.message());
                             self->take({self->buffer.data(), count});
                             if (self->is_open()) self->read();
                           });
  }

  // A hook may destroy the link, close it, or put other hooks in its place.
  void take(std::string_view bytes) {
    unread += bytes;
    std::size_t begin = 0;
    for (auto newline = unread.find('\n'); newline != std::string::npos && is_open();
         newline = unread.find('\n', begin)) {
      const std::string line = unread.substr(begin, newline - begin);
      begin = newline + 1;
      const auto told = hooks;
      if (told && told->on_line) told->on_line(line);
    }
    unread.erase(0, begin);
    if (unread.size() > kLongestLine) end("a line of the other side has no end");
  }

  void send(std::string line) {
    if (!is_open()) return;
    waiting += std::move(line);
    if (sending.empty()) write();
  }

  void write() {
    sending = std::exchange(waiting, {});
    if (sending.empty()) {
      if (is_finishing) end("closed");
      return;
    }
    asio::async_write(socket, asio::buffer(sending),
                      [self = shared_from_this()](const auto& error, std::size_t) {
                        if (error) return self->end(error.message());
                        self->sending.clear();
                        if (self->is_open()) self->write();
                      });
  }

  void finish() {
    is_finishing = true;
    if (!is_open() || !sending.empty()) return;
    asio::post(socket.get_executor(), [self = shared_from_this()] {
      if (self->is_open() && self->sending.empty()) self->write();
    });
  }

  bool is_open() const { return socket.is_open(); }

  void close() {
    boost::system::error_code ignored;
    // An orderly end: what has arrived there is read before it.
    socket.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    socket.close(ignored);
  }

  void end(const std::string& why) {
    if (!is_open()) return;
    close();
    const auto told = std::exchange(hooks, nullptr);
    if (told && told->on_closed) told->on_closed(why);
  }

  asio::ip::tcp::socket socket;
  std::shared_ptr<Hooks> hooks;
  std::array<char, 16 * 1024> buffer;
  std::string unread;
  std::string sending;
  std::string waiting;
  bool is_reading = false;
  bool is_finishing = false;
};

AgentLink::AgentLink(asio::ip::tcp::socket socket)
    : state_(std::make_shared<State>(std::move(socket))) {}

AgentLink::~AgentLink() {
  state_->hooks = nullptr;
  state_->close();
}

void AgentLink::listen(Hooks hooks) {
  state_->listen(std::move(hooks));
}

void AgentLink::send(std::string line) {
  state_->send(std::move(line));
}

std::size_t AgentLink::unsent() const {
  return state_->sending.size() + state_->waiting.size();
}

void AgentLink::finish() {
  state_->finish();
}

}  // namespace batchproxy
