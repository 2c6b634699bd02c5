// tests/batcher/outage_fixture.h - the small language of scheduler_fixture.h, and words for
// backends that go down, break and come back.
//
// Threading: test code, one thread.
#pragma once

#include <initializer_list>
#include <vector>

#include "tests/batcher/scheduler_fixture.h"

namespace batchproxy {

inline BackendSet only(std::initializer_list<BackendId> ids) {
  BackendSet set;
  for (const BackendId id : ids) set.insert(id);
  return set;
}

class OutageFixture : public SchedulerFixture {
 protected:
  void start(std::uint32_t backends = 1, const SchedulerOptions& options = usual(),
             std::uint32_t room = 100) {
    SchedulerFixture::start(options, backends, {.max_num_seqs = room});
  }
  static SchedulerOptions usual() {
    return {.batch_size = 4, .max_queue = 1000, .stuck_timeout = Duration::zero()};
  }
  static SchedulerOptions with_hold(Duration hold) {
    SchedulerOptions options = usual();
    options.hold_timeout = hold;
    return options;
  }
  static SchedulerOptions with(FlushPolicy policy) {
    SchedulerOptions options = usual();
    options.policy = policy;
    return options;
  }

  Ticket& submit(Duration arrival, BackendSet backends = BackendSet::first(64)) {
    Ticket& made = ticket(arrival);
    made.backends = all_ & backends;
    scheduler_->submit(made);
    return made;
  }
  Ticket& submit_suspect(Duration arrival, BackendSet backends = BackendSet::first(64),
                         BackendSet avoid = {}) {
    Ticket& made = ticket(arrival);
    made.backends = all_ & backends;
    made.avoid = avoid;
    made.suspect = true;
    scheduler_->submit(made);
    return made;
  }
  void submit_many(int count, Duration arrival) {
    for (int i = 0; i < count; ++i) submit(arrival);
  }
  // Tells that it is down, or up again, as the lane does.
  std::vector<Ticket*> set_up(BackendId id, bool up, Duration now) {
    scheduler_->set_up(id, up);
    return take(now);
  }
  void complete_all(const std::vector<Ticket*>& done, Outcome outcome, Duration now) {
    for (const Ticket* each : done) complete(*each, outcome, now);
  }
  // Lets the breaker of `id`, the only backend that is up, open.
  void trip(Duration now) {
    submit(now);
    complete_all(take(now), Outcome::kDied, now);
    take(now);
  }
  // Waits as the lane does, from one due time to the next, until something is decided. A due time
  // at which nothing happens must not be due again.
  std::vector<Ticket*> wait(Duration from, Duration until) {
    Duration now = from;
    for (int idle = 0;; ++idle) {
      EXPECT_LT(idle, 100) << "the lane would spin";
      auto decided = take(now);
      woken_ = now;
      const auto due = scheduler_->next_due();
      if (!decided.empty() || idle >= 100 || !due || *due > at(until)) return decided;
      if (*due > at(now)) now = *due - at(Duration::zero());
    }
  }

  Duration woken_{};  // when wait() looked last
};

}  // namespace batchproxy
