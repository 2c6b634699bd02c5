// proxy/control/service_manager.cc - see service_manager.h.
#include "proxy/control/service_manager.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "configs/text/number.h"

namespace batchproxy {

namespace {

std::string value_of(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

// How long we may be silent; nothing where nobody watches us.
std::optional<Duration> watchdog_of(const Environment& environment) {
  const auto usec = number_in<std::int64_t>(value_of(environment, "WATCHDOG_USEC"));
  const std::string pid = value_of(environment, "WATCHDOG_PID");
  const bool is_for_us = pid.empty() || pid == std::to_string(::getpid());
  if (!usec || *usec <= 0 || !is_for_us) return std::nullopt;
  return std::chrono::microseconds(*usec);
}

}  // namespace

ServiceManager::ServiceManager(const Environment& environment)
    : address_(value_of(environment, "NOTIFY_SOCKET")), watchdog_(watchdog_of(environment)) {
  if (address_.size() >= sizeof(sockaddr_un::sun_path)) address_.clear();
  if (address_.empty()) return;
  if (address_.front() == '@') address_.front() = '\0';  // an abstract one
  socket_ = Descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

void ServiceManager::tick(TimePoint now, std::string_view status) {
  if (status != told_status_) {
    told_status_ = status;
    send("STATUS=" + told_status_);
  }
  if (watchdog_ && now - told_alive_ >= *watchdog_ / 3) {
    told_alive_ = now;
    send("WATCHDOG=1");
  }
}

void ServiceManager::send(const std::string& message) {
  if (address_.empty()) return;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  (void)::sendto(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&to), size);
}

std::string status_line(const Snapshot& now) {
  const auto ready =
      std::ranges::count(now.backends, BackendState::kReady, &BackendSnapshot::state);
  return fmt::format("{} of {} backends ready; {} requests in flight, {} wait; {:.1f} answers/s",
                     ready, now.backends.size(), now.inflight.get(), now.queued.get(),
                     now.last_10s.answered);
}

}  // namespace batchproxy
