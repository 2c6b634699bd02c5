// tests/fault_sim/lane_oracle.h - LaneOracle: sees what the scheduler is told and what it decides,
// and knows from that alone what it must never decide.
//
// Threading: test code, one thread.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "batcher/routes.h"
#include "batcher/scheduler.h"
#include "tests/fault_sim/virtual_time.h"

namespace batchproxy::fault_sim {

// What has become of a request so far.
struct Tried {
  unsigned deaths = 0;  // of engines that had it
  unsigned lost = 0;    // attempts without an answer, these among them
};

class LaneOracle {
 public:
  LaneOracle(const VirtualTime& time, const Scheduler& scheduler, const SchedulerOptions& options)
      : time_(time), scheduler_(scheduler), options_(options), hold_since_(time.now()) {}

  // What the scheduler was told. Each is called behind the scheduler's own.
  void on_set_backend(BackendId id, bool is_new);
  void on_set_up(BackendId id, bool up);
  void on_set_options(const SchedulerOptions& options);
  void on_rerouted();
  void on_submitted(const Ticket& ticket, Tried tried);
  // Came back instead: nobody serves it.
  void on_turned_away(const Ticket& ticket, const Routes& routes) const;
  void on_cancelled(const Ticket& ticket);
  void on_completed(const Grant& grant, std::uint32_t prompts, const Ticket* ticket,
                    Outcome outcome, Duration pause);
  void on_stall(const Stall& stall);
  // What it decided, after a take(): each ticket, then the rest.
  void on_decided(const Ticket& ticket, const Routes& routes);
  void after_take();

  // From time to time.
  void check_holding() const;
  void check_empty() const;

  std::uint32_t inflight(BackendId id) const { return backends_[id].inflight; }
  std::uint64_t decided() const { return decided_; }
  std::uint64_t suspects() const { return suspects_; }

 private:
  // The rules of batcher/fleet/breaker.h, told once more. What it forbids is looked at; what it
  // allows is the scheduler's business.
  struct BreakerRules {
    bool open = false, probing = false, stuck = false;
    TimePoint since{}, until{}, probing_since{}, streak{};
    int losses = 0, refuted = 0, errors = 0, openings = 0;
    std::uint32_t epoch = 0;

    void on_up(TimePoint now);
    void on_result(Outcome outcome, std::uint32_t of_epoch, Duration usual, TimePoint now);
    void on_refuted(Duration usual, TimePoint now);
    void on_time(TimePoint now);
    void count(int& failures, int most, Duration usual, TimePoint now);
    void close();
    void trip(TimePoint now);
  };
  struct Seen {
    bool up = false;
    std::optional<TimePoint> usable_since;  // up with a closed breaker, all the time
    TimePoint last_usable = TimePoint::min();
    TimePoint paused_until = TimePoint::min();
    std::uint32_t inflight = 0;  // prompts
    std::uint32_t alone = 0;     // tickets that were promised to be the only one
    BreakerRules breaker;
  };
  struct Waiting {
    TimePoint since;  // among these backends
    BackendSet backends;
    Tried tried{};
  };
  struct Second {
    std::uint64_t successes = 0, retries = 0;
  };

  void check_grant(const Ticket& ticket, const Waiting& waiting, const Routes& routes);
  void check_refusal(const Ticket& ticket) const;
  void spend_retry();
  void look_at_backends();
  std::string facts(const Ticket& ticket) const;
  bool too_late_for_all(const Ticket& ticket) const;
  bool hopeless_for(const Ticket& ticket, Duration hold) const;

  const VirtualTime& time_;
  const Scheduler& scheduler_;
  SchedulerOptions options_;
  TimePoint hold_since_;  // hold_timeout is what it is
  std::array<Seen, BackendSet::kMax> backends_;
  std::unordered_map<const Ticket*, Waiting> waiting_;
  std::unordered_map<const Ticket*, std::uint32_t> flying_;  // and the breaker's epoch then
  std::map<std::int64_t, Second> seconds_;
  std::size_t queued_ = 0;  // prompts
  std::uint64_t decided_ = 0;
  std::uint64_t suspects_ = 0;
  std::optional<TimePoint> last_death_;
};

}  // namespace batchproxy::fault_sim
