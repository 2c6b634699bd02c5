// batcher/fleet/fleet.h - Fleet: all backends as the scheduler sees them: which take requests now,
// how many they have in flight, how long their answers take, and whether they get on.
//
// A backend gets nothing while it is down, while its breaker is open, for as long as it has asked
// to be left alone, and while it is reserved for a suspect. refresh() works that out, when
// something has happened or a time has come.
//
// The fleet knows no queue. Where one of its functions says that a backend takes no more, the
// tickets that wait for its cache must go elsewhere (Turns::release()).
//
// Threading: confined to the lane.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/base/scheduler_options.h"
#include "batcher/base/ticket.h"
#include "batcher/fleet/backend.h"
#include "batcher/fleet/stall_watch.h"
#include "batcher/fleet/time_given.h"

namespace batchproxy {

class Fleet {
 public:
  // `options` must outlive it; they may change in between.
  explicit Fleet(const SchedulerOptions& options) : options_(options), watch_(options) {}

  std::size_t size() const { return backends_.size(); }
  const Backend& operator[](BackendId id) const { return backends_[id]; }
  BackendId id_of(const Backend& backend) const {
    return static_cast<BackendId>(&backend - backends_.data());
  }
  auto begin() const { return backends_.begin(); }
  auto end() const { return backends_.end(); }

  // Whether one of `among`, which all have been added, meets the condition.
  using Condition = bool (Backend::*)() const;
  bool any(const BackendSet& among, Condition condition) const {
    for (const BackendId id : among) {
      if ((backends_[id].*condition)()) return true;
    }
    return false;
  }

  // Backends of which something may be another since the last call.
  BackendSet take_touched() { return std::exchange(touched_, {}); }

  // All that meet the condition.
  BackendSet all(Condition condition) const {
    BackendSet all;
    for (const Backend& backend : backends_) {
      if ((backend.*condition)()) all.insert(id_of(backend));
    }
    return all;
  }

  // --- what is told of a backend ---
  // A new one, or another server in its place; nothing is in flight there.
  void add(BackendId id, const BackendTraits& traits);
  void set_traits(BackendId id, const BackendTraits& traits);
  // Whether its server is there. False when that was known.
  bool set_up(BackendId id, bool up, TimePoint now);
  // Something waited for it while nobody was up.
  void start_slowly(BackendId id) { touch(id).slow_start.prepare(); }
  void observe(BackendId id, const std::optional<EngineSample>& sample, TimePoint now);
  void on_bytes(BackendId id, TimePoint now);
  // Something waits because its room is used up.
  void on_held_back(BackendId id) { backends_[id].room.on_held_back(); }
  // A client has given its request so much time.
  void on_time_given(Duration time, TimePoint now);

  // --- who takes requests ---
  // Something has happened that refresh() must look at.
  void mark_stale() { stale_ = true; }
  bool is_stale(TimePoint now) const { return stale_ || now >= refresh_at_; }
  // When it must be looked at next.
  TimePoint refresh_due() const { return stale_ ? TimePoint::min() : refresh_at_; }
  // A look in two halves, between which the queues find out for which backends it is the last
  // resort. Returns the backends that have ceased to take requests.
  void begin_refresh(TimePoint now);
  BackendSet refresh(BackendSet last_resort, TimePoint now);
  // One backend is kept for a suspect. True when it has ceased to take requests.
  bool reserve(BackendId id, TimePoint now);
  void unreserve(BackendId id);

  // --- requests come and go ---
  // A ticket is granted to a backend. True when it has ceased to take requests.
  bool on_granted(BackendId id, const Ticket& ticket, TimePoint now);
  // The ticket's call can carry several: it counts until it has ended.
  void on_call(BackendId id) { ++touch(id).calls; }
  // The prompts of a grant are no longer in flight.
  void on_returned(const Grant& grant, std::uint32_t prompts);
  // What their end says of the backend, and of others.
  void learn(const Grant& grant, std::uint32_t prompts, Outcome outcome, TimePoint now);
  // Behind learn(). `pause`: how long the backend asked to be left alone.
  void finish(const Grant& grant, Outcome outcome, Duration pause, TimePoint now);
  // When an engine was last seen to have ended with what it had.
  std::optional<TimePoint> last_death() const { return last_death_; }

  // --- how long answers take ---
  Duration usual(const Backend& backend) const { return backend.usual(all_times_); }
  Duration least(const Backend& backend) const { return backend.least(all_times_); }
  Duration least_of_all() const { return all_times_.least(); }
  // Of all backends: with more time left any ticket may go.
  Duration longest_usual() const { return longest_usual_; }

  // --- whether they get on ---
  // Looks when that is due; bytes must have been told by then.
  void watch_progress(TimePoint now);
  StallWatch& watch() { return watch_; }
  const StallWatch& watch() const { return watch_; }

 private:
  // Whoever changes a backend gets it here.
  Backend& touch(BackendId id) {
    Backend& backend = backends_.at(id);
    touched_.insert(id);
    return backend;
  }
  void touch_all() { touched_ = BackendSet::first(backends_.size()); }

  bool refresh(Backend& backend, TimePoint now);
  void refute(BackendSet failed, TimePoint now);
  void find_longest_usual();
  void limit_to_time(Backend& backend);
  void look_again_at(TimePoint at) { refresh_at_ = std::min(refresh_at_, at); }

  const SchedulerOptions& options_;
  std::vector<Backend> backends_;
  BackendSet touched_;
  bool stale_ = true;
  TimePoint refresh_at_{};
  std::optional<TimePoint> last_death_;
  AnswerTimes all_times_;  // of all backends, for those whose own are not known yet
  Duration longest_usual_{};
  TimeGiven time_given_;
  StallWatch watch_;
};

}  // namespace batchproxy
