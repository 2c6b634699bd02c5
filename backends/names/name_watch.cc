// backends/names/name_watch.cc - see name_watch.h.
#include "backends/names/name_watch.h"

#include <utility>

namespace batchproxy {

NameWatch::NameWatch(asio::io_context& io, Resolver& resolver, OnChange on_change)
    : io_(io), resolver_(resolver), on_change_(std::move(on_change)) {}

void NameWatch::add(BackendId backend, const HostPort& name) {
  remove(backend);
  const auto watched = std::make_shared<Watched>(
      Watched{backend, name, NameTracker(name.host), asio::steady_timer(io_)});
  watched_[backend] = watched;
  arrange(watched);
}

void NameWatch::remove(BackendId backend) {
  watched_.erase(backend);  // its timer with it, or when its look-up has ended
}

void NameWatch::set_ready(BackendId backend, bool ready) {
  change(backend, [ready](NameTracker& tracker) { tracker.set_ready(ready); });
}

void NameWatch::doubt(BackendId backend) {
  change(backend, [](NameTracker& tracker) { tracker.doubt(); });
}

void NameWatch::start() {
  started_ = true;
  for (const auto& [backend, watched] : watched_) arrange(watched);
}

void NameWatch::stop() {
  started_ = false;
  watched_.clear();
}

void NameWatch::look_again() {
  for (const auto& [backend, watched] : watched_) {
    watched->tracker.hurry();
    arrange(watched);
  }
}

void NameWatch::change(BackendId backend, const std::function<void(NameTracker&)>& change) {
  const auto it = watched_.find(backend);
  if (it == watched_.end()) return;
  change(it->second->tracker);
  arrange(it->second);
}

void NameWatch::arrange(const WatchedPtr& watched) {
  const auto due = watched->tracker.due();
  if (!started_ || !due) return;
  watched->timer.expires_at(*due);
  watched->timer.async_wait([this, weak = std::weak_ptr(watched)](const ErrorCode& error) {
    const WatchedPtr still = weak.lock();
    if (!error && still) look_up_if_due(still);
  });
}

// It may have been begun, or put off, since its timer was set.
void NameWatch::look_up_if_due(const WatchedPtr& watched) {
  const TimePoint now = std::chrono::steady_clock::now();
  const auto due = watched->tracker.due();
  if (!due || *due > now) return;
  watched->tracker.begin(now);
  resolver_.look_up(watched->name, [this, weak = std::weak_ptr(watched)](const LookUp& answer) {
    if (const WatchedPtr still = weak.lock()) take(still, answer);
  });
}

void NameWatch::take(const WatchedPtr& watched, const LookUp& answer) {
  if (watched->tracker.take(answer)) on_change_(watched->backend, watched->tracker);
  arrange(watched);
}

}  // namespace batchproxy
