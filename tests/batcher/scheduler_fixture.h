// tests/batcher/scheduler_fixture.h - a Scheduler with backends in virtual time, and a small
// language to drive it.
//
// Threading: test code, one thread.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "batcher/scheduler.h"

namespace batchproxy {

inline TimePoint at(Duration since_start) {
  return TimePoint() + std::chrono::hours(1) + since_start;
}

class SchedulerFixture : public testing::Test {
 protected:
  void start(const SchedulerOptions& options, std::uint32_t backends, const BackendTraits& traits) {
    scheduler_.emplace(options);
    for (BackendId id = 0; id < backends; ++id) {
      scheduler_->add_backend(id, traits);
      scheduler_->set_up(id, true);
    }
    all_ = BackendSet::first(backends);
  }

  // One that any backend may serve, not submitted yet.
  Ticket& ticket(Duration arrival) {
    Ticket& made = tickets_.emplace_back();
    made.arrival = at(arrival);
    made.deadline = at(arrival + std::chrono::seconds(600));
    made.backends = all_;
    return made;
  }
  std::vector<Ticket*> take(Duration now) {
    std::vector<Ticket*> decided;
    scheduler_->take(at(now), decided);
    return decided;
  }
  void complete(const Ticket& done, Outcome outcome = Outcome::kGood, Duration now = {}) {
    scheduler_->complete(done.verdict, done.prompts, outcome, at(now));
  }

  std::deque<Ticket> tickets_;  // outlives the scheduler, which links them
  std::optional<Scheduler> scheduler_;
  BackendSet all_;
};

}  // namespace batchproxy
