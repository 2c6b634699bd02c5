// backends/names/name_watch.h - NameWatch: looks the names of backends up, again and again, and
// says when one has moved. NameTracker decides when, and what an answer means.
//
// Threading: confined to the control thread's io_context.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include <boost/asio/steady_timer.hpp>

#include "backends/names/name_tracker.h"
#include "backends/names/resolver.h"
#include "batcher/base/backend_set.h"

namespace batchproxy {

class NameWatch {
 public:
  // The addresses() or the problem() of a name have changed.
  using OnChange = std::function<void(BackendId, const NameTracker&)>;

  // `resolver` must outlive it.
  NameWatch(asio::io_context& io, Resolver& resolver, OnChange on_change);
  ~NameWatch() { stop(); }

  // Looks `name` up from start() on, or from now on if that was before. It may take the place of
  // one that was removed.
  void add(BackendId backend, const HostPort& name);
  // For these three, a backend that has no name is none of ours.
  void remove(BackendId backend);
  void set_ready(BackendId backend, bool ready);
  // Could not be reached: looks it up at once, if that was not done within the last second.
  void doubt(BackendId backend);

  void start();
  void stop();
  // Looks all of them up at once.
  void look_again();

 private:
  struct Watched {
    BackendId backend;
    HostPort name;
    NameTracker tracker;
    asio::steady_timer timer;
  };
  using WatchedPtr = std::shared_ptr<Watched>;

  // Its look-ups are arranged anew, after `change` of what they go by.
  void change(BackendId backend, const std::function<void(NameTracker&)>& change);
  void arrange(const WatchedPtr& watched);
  void look_up_if_due(const WatchedPtr& watched);
  void take(const WatchedPtr& watched, const LookUp& answer);

  asio::io_context& io_;
  Resolver& resolver_;
  const OnChange on_change_;
  std::map<BackendId, WatchedPtr> watched_;
  bool started_ = false;
};

}  // namespace batchproxy
