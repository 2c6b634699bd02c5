// tests/batcher/prospects_fixture.h - the small language of outage_fixture.h, and words for
// backends that have taught how long they take, and for clients in a hurry.
//
// Threading: test code, one thread.
#pragma once

#include "tests/batcher/outage_fixture.h"

namespace batchproxy {

class ProspectsFixture : public OutageFixture {
 protected:
  // Nothing is sent because it is overdue: each takes what it has room for.
  static SchedulerOptions patient() {
    SchedulerOptions options = usual();
    options.batch_timeout = std::chrono::hours(1);
    return options;
  }
  static SchedulerOptions watching() {
    SchedulerOptions options = usual();
    options.stuck_timeout = std::chrono::seconds(10);
    return options;
  }
  // `id` answers 16 requests one after another, each after `took`, until `until`.
  void teach(BackendId id, Duration took, Duration until) {
    for (int i = 16; i > 0; --i) {
      submit(until - i * took, only({id}));
      complete_all(take(until - i * took), Outcome::kGood, until - (i - 1) * took);
    }
    take(until);
  }
  Ticket& submit_with(Duration arrival, Duration time, BackendSet backends = BackendSet::first(64),
                      std::uint64_t client = 0) {
    Ticket& made = ticket(arrival);
    made.deadline = at(arrival + time);
    made.backends = all_ & backends;
    made.client = client;
    scheduler_->submit(made);
    return made;
  }
  Ticket& submit_of(std::uint64_t client, Duration arrival,
                    BackendSet backends = BackendSet::first(64)) {
    return submit_with(arrival, std::chrono::seconds(600), backends, client);
  }
};

}  // namespace batchproxy
