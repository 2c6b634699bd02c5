// proxy/limits/client_cap.cc - see client_cap.h.
#include "proxy/limits/client_cap.h"

#include <algorithm>

#include <sys/resource.h>

namespace batchproxy {

std::uint64_t descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  return limit.rlim_cur;
}

std::uint64_t client_limit(std::uint64_t configured, std::uint64_t descriptors) {
  constexpr std::uint64_t kEnough = 16384;
  if (configured > 0) return configured;
  const std::uint64_t most = std::min<std::uint64_t>(descriptors, 2 * kEnough) / 10 * 8;
  return std::clamp<std::uint64_t>(most, kReservedDescriptors + 1, kEnough + kReservedDescriptors) -
         kReservedDescriptors;
}

void IdleClients::add(IdleClient& client, TimePoint now) {
  client.since_ = now;
  clients_.push_back(client);
  if (&clients_.front() == &client) publish();
}

void IdleClients::remove(IdleClient& client) {
  const bool first = !clients_.empty() && &clients_.front() == &client;
  client.unlink();
  if (first) publish();
}

bool IdleClients::close_oldest(TimePoint now) {
  if (clients_.empty()) return false;
  IdleClient& oldest = clients_.front();
  if (now - oldest.since_ < kLeastRest) return false;
  remove(oldest);
  return oldest.close_idle();
}

bool IdleClients::close_oldest_of_all(TimePoint now) {
  const auto mine = seat_.since.load(std::memory_order_relaxed);
  const bool oldest =
      std::all_of(cap_.seats_.begin(), cap_.seats_.end(), [mine](const ClientCap::Seat& other) {
        return mine <= other.since.load(std::memory_order_relaxed);
      });
  if (!oldest || cap_.one_leaves_.exchange(true, std::memory_order_relaxed)) return false;
  const bool leaves = close_oldest(now);
  if (!leaves) cap_.one_leaves_.store(false, std::memory_order_relaxed);
  return leaves;
}

void IdleClients::publish() {
  const TimePoint since = clients_.empty() ? TimePoint::max() : clients_.front().since_;
  seat_.since.store(since.time_since_epoch().count(), std::memory_order_relaxed);
}

}  // namespace batchproxy
