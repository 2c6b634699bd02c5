// backends/net/poller.cc - see poller.h.
#include "backends/net/poller.h"

#include <array>
#include <cerrno>
#include <exception>

#include <boost/asio/post.hpp>

namespace batchproxy {

namespace {

// Enough for a loop turn under load; what does not fit comes in the next.
constexpr std::size_t kBatch = 128;

int make_set() {
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) {
    throw boost::system::system_error(errno, boost::system::system_category(), "epoll_create1");
  }
  return set;
}

}  // namespace

Poller::Poller(asio::io_context& io) : set_(io.get_executor(), make_set()) {
  wait();
}

Poller::~Poller() {
  while (!owners_.empty()) {
    Pollable& owner = owners_.front();
    owners_.pop_front();
    owner.on_abandoned();
  }
}

ErrorCode Poller::add(int socket, Pollable& owner) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &owner;
  if (::epoll_ctl(set_.native_handle(), EPOLL_CTL_ADD, socket, &event) != 0) {
    return {errno, boost::system::system_category()};
  }
  owners_.push_back(owner);
  return {};
}

void Poller::remove(int socket, Pollable& owner) {
  // close() alone would do, if a child process that is being spawned did not hold the socket too.
  ::epoll_ctl(set_.native_handle(), EPOLL_CTL_DEL, socket, nullptr);
  owners_.erase(owners_.iterator_to(owner));
  for (epoll_event& event : pending_) {
    if (event.data.ptr == &owner) event.data.ptr = nullptr;
  }
}

void Poller::wait() {
  set_.async_wait(asio::posix::descriptor_base::wait_read, [this](const ErrorCode& error) {
    if (!error) dispatch();
  });
}

void Poller::dispatch() {
  std::array<epoll_event, kBatch> events;
  const int count = ::epoll_wait(set_.native_handle(), events.data(), kBatch, 0);
  pending_ = std::span(events).first(count > 0 ? static_cast<std::size_t>(count) : 0);
  while (!pending_.empty()) {
    const epoll_event event = pending_.front();
    pending_ = pending_.subspan(1);
    if (event.data.ptr == nullptr) continue;  // removed by an earlier owner's on_ready()
    const bool ended = (event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    const Pollable::Ready ready{.readable = ended || (event.events & EPOLLIN) != 0,
                                .writable = ended || (event.events & EPOLLOUT) != 0,
                                .read_until_empty = ended || (event.events & EPOLLPRI) != 0};
    try {
      static_cast<Pollable*>(event.data.ptr)->on_ready(ready);
    } catch (...) {
      // Each report is made once, so the other owners get theirs before the loop sees this error.
      asio::post(executor(), [error = std::current_exception()] { std::rethrow_exception(error); });
    }
  }
  wait();
}

}  // namespace batchproxy
