// backends/names/resolver.cc - see resolver.h.
#include "backends/names/resolver.h"

#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <boost/asio/post.hpp>

#include "backends/net/waiter.h"

namespace batchproxy {

LookUp look_up(const HostPort& name) {
  asio::io_context io;
  asio::ip::tcp::resolver resolver(io);
  LookUp answer;
  const auto flags = asio::ip::resolver_base::numeric_service;
  const auto found = resolver.resolve(name.host, std::to_string(name.port), flags, answer.error);
  for (const auto& entry : found) answer.found.push_back(entry.endpoint());
  return answer;
}

Task<Addresses> find_addresses(Resolver& resolver, HostPort name) {
  if (is_address(name.host)) {
    co_return Addresses{{asio::ip::make_address(name.host), name.port}};
  }
  struct Seat {
    Waiter waiter;
    LookUp answer;
  };
  const auto seat = std::make_shared<Seat>();
  resolver.look_up(name, [seat](const LookUp& answer) {
    seat->answer = answer;
    seat->waiter.wake();
  });
  co_await seat->waiter.wait();
  co_return in_order(seat->answer.found);
}

struct SystemResolver::Desk {
  // From any thread. Once the desk is closed, the answer is dropped.
  void hand_in(Tell tell, LookUp answer) {
    const std::lock_guard lock(mutex);
    if (control == nullptr) return;
    asio::post(*control, [tell = std::move(tell), answer = std::move(answer)] { tell(answer); });
  }

  std::mutex mutex;
  asio::io_context* control;  // null once the desk is closed
};

SystemResolver::SystemResolver(asio::io_context& control) : desk_(std::make_shared<Desk>()) {
  desk_->control = &control;
}

SystemResolver::~SystemResolver() {
  const std::lock_guard lock(desk_->mutex);
  desk_->control = nullptr;
}

void SystemResolver::look_up(const HostPort& name, Tell tell) {
  const auto ask = [desk = desk_, name, tell] { desk->hand_in(tell, batchproxy::look_up(name)); };
  try {
    std::thread(ask).detach();
  } catch (const std::system_error& error) {  // no room for a thread: that passes
    desk_->hand_in(std::move(tell), {ErrorCode(error.code()), {}});
  }
}

}  // namespace batchproxy
