// proxy/limits/client_cap.h - how many clients may be connected, and who has to go when they are
// too many: the one that has rested the longest between two requests. Nobody who is being answered,
// nor one that has just been: its next request may be on its way.
//
// Threading: ClientCap any thread; IdleClients its own thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "batcher/base/time.h"

namespace batchproxy {

// Descriptors that clients do not get: for backends, the admin port, and telling clients no.
inline constexpr std::uint64_t kReservedDescriptors = 16;

// The file descriptors that this process may have open.
std::uint64_t descriptor_limit();

// The most clients at a time: `configured`, or what suits so many descriptors when that is 0.
std::uint64_t client_limit(std::uint64_t configured, std::uint64_t descriptors);

class ClientCap {
 public:
  // For `threads` threads.
  ClientCap(std::uint64_t limit, std::size_t threads) : limit_(limit), seats_(threads) {}

  // A place for one more client; false when there is none.
  bool take() {
    if (clients_.fetch_add(1, std::memory_order_relaxed) < limit_) return true;
    clients_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  void give() {
    clients_.fetch_sub(1, std::memory_order_relaxed);
    one_leaves_.store(false, std::memory_order_relaxed);
  }

 private:
  friend class IdleClients;
  // Since when the longest-resting client of a thread rests; written by that thread alone.
  struct alignas(64) Seat {
    std::atomic<TimePoint::rep> since{TimePoint::max().time_since_epoch().count()};
  };

  const std::uint64_t limit_;
  std::atomic<std::uint64_t> clients_{0};
  // An idle client has been told to leave and still has its place. Until that place is free no
  // second one is told, so that two threads do not close two clients for one newcomer.
  std::atomic<bool> one_leaves_{false};
  std::vector<Seat> seats_;
};

class IdleClient : public boost::intrusive::list_base_hook<
                       boost::intrusive::tag<IdleClient>,
                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  // False when it does not: its next request has come.
  virtual bool close_idle() = 0;

 protected:
  virtual ~IdleClient() = default;

 private:
  friend class IdleClients;
  TimePoint since_{};
};

// One thread's clients that wait for their next request, the longest-resting first.
class IdleClients {
 public:
  static constexpr Duration kLeastRest = std::chrono::seconds(1);

  IdleClients(ClientCap& cap, std::size_t thread) : cap_(cap), seat_(cap.seats_[thread]) {}

  void add(IdleClient& client, TimePoint now);
  void remove(IdleClient& client);

  // Closes the one that has rested the longest, if that is at least kLeastRest. False: there is
  // none here.
  bool close_oldest(TimePoint now);
  // The same, but only if no other thread has one that has rested longer, and none is leaving
  // already.
  bool close_oldest_of_all(TimePoint now);

 private:
  using Hook = boost::intrusive::base_hook<
      boost::intrusive::list_base_hook<boost::intrusive::tag<IdleClient>,
                                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>>>;
  void publish();

  ClientCap& cap_;
  ClientCap::Seat& seat_;
  boost::intrusive::list<IdleClient, Hook, boost::intrusive::constant_time_size<false>> clients_;
};

}  // namespace batchproxy
