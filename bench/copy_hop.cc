// bench/copy_hop.cc - the least that a hop can cost: it copies bytes between a client and a
// backend.
//
//   copy_hop PORT    to 127.0.0.1:PORT; prints where it listens
//
// A connection to the backend for each client's, one thread, nothing parsed.
#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/loopback.h"

namespace batchproxy {
namespace {

using namespace loopback;

struct Pair;

// One socket of a pair, and what comes from the other.
struct End {
  int fd = -1;
  Pair* pair = nullptr;
  End* other = nullptr;
  std::string unsent;  // what this socket has not taken yet; the other is not read until then
  bool ended = false;  // nothing more comes from here
  std::uint32_t watched = EPOLLIN;
};

struct Pair {
  End client;
  End backend;
  bool closed = false;
};

class Hop {
 public:
  explicit Hop(std::uint16_t backend) : backend_(backend) {}

  [[noreturn]] void run() {
    watch(epoll_, EPOLL_CTL_ADD, listener_, EPOLLIN, nullptr);
    std::array<epoll_event, 512> events;
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.ptr == nullptr) {
          accept_one();
        } else {
          on_event(*static_cast<End*>(event.data.ptr), event.events);
        }
      }
      // Not before: a later event of the same turn may be of the same pair.
      closed_.clear();
    }
  }

 private:
  void accept_one() {
    const int client = accept_next(listener_);
    if (client < 0) return;
    auto* pair = new Pair;  // deleted by way of closed_
    pair->client = {client, pair, &pair->backend, {}, false, EPOLLIN};
    pair->backend = {connect_to(backend_), pair, &pair->client, {}, false, EPOLLIN};
    for (End* end : {&pair->client, &pair->backend}) {
      watch(epoll_, EPOLL_CTL_ADD, end->fd, end->watched, end);
    }
  }

  void on_event(End& end, std::uint32_t events) {
    // After a hang-up there may be something left to read; trying tells.
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) events |= EPOLLIN | EPOLLOUT;
    if (!end.pair->closed && (events & end.watched & EPOLLOUT) != 0) send_to(end, {});
    if (!end.pair->closed && (events & end.watched & EPOLLIN) != 0) read_from(end);
  }

  void read_from(End& from) {
    const ssize_t got = recv(from.fd, buffer_.data(), buffer_.size(), 0);
    if (got > 0) return send_to(*from.other, {buffer_.data(), static_cast<std::size_t>(got)});
    if (got < 0) return would_block() ? void() : close_pair(*from.pair);
    from.ended = true;
    settle(*from.other);
  }

  // `fresh`, or what is unsent; there are never both.
  void send_to(End& to, std::string_view fresh) {
    const bool waited = !to.unsent.empty();
    std::string_view left = waited ? std::string_view(to.unsent) : fresh;
    const ssize_t sent = send(to.fd, left.data(), left.size(), MSG_NOSIGNAL);
    if (sent < 0 && !would_block()) return close_pair(*to.pair);
    if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
    if (!waited && left.empty()) return;  // nearly always
    to.unsent = std::string(left);
    settle(to);
  }

  // After a change of what is to be sent to `to`, or of whether anything more will be.
  void settle(End& to) {
    const End& from = *to.other;
    if (from.ended && to.unsent.empty()) {
      if (to.ended && from.unsent.empty()) return close_pair(*to.pair);
      shutdown(to.fd, SHUT_WR);
    }
    watch_again(to);
    watch_again(*to.other);
  }

  void watch_again(End& end) {
    const std::uint32_t wanted = (end.ended || !end.other->unsent.empty() ? 0u : EPOLLIN) |
                                 (end.unsent.empty() ? 0u : EPOLLOUT);
    const std::uint32_t before = std::exchange(end.watched, wanted);
    if (wanted == before) return;
    // One that is watched for nothing would tell of a hang-up all the time.
    const int how = wanted == 0 ? EPOLL_CTL_DEL : before == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    watch(epoll_, how, end.fd, wanted, &end);
  }

  void close_pair(Pair& pair) {
    pair.closed = true;
    close(pair.client.fd);
    close(pair.backend.fd);
    closed_.emplace_back(&pair);
  }

  const std::uint16_t backend_;
  const int listener_ = listen_somewhere();
  const int epoll_ = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create");
  std::array<char, 65536> buffer_;
  std::vector<std::unique_ptr<Pair>> closed_;
};

}  // namespace
}  // namespace batchproxy

int main(int argc, char** argv) {
  const int port = argc == 2 ? std::atoi(argv[1]) : 0;
  if (port < 1 || port > 65535) {
    std::fputs("usage: copy_hop PORT\n", stderr);
    return 2;
  }
  batchproxy::Hop(static_cast<std::uint16_t>(port)).run();
}
