// bench/policy/router.cc - see router.h.
#include "bench/policy/router.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "backends/sim/model/hash.h"

namespace batchproxy::bench {

namespace {

constexpr Duration kRequestTimeout = std::chrono::hours(24);

// The proxy's own.
class SchedulerRouter : public Router {
 public:
  SchedulerRouter(const SchedulerOptions& options, std::span<const PromptRequest> requests,
                  std::size_t backends, const BackendTraits& traits)
      : requests_(requests), tickets_(requests.size()), scheduler_(options) {
    for (BackendId id = 0; id < backends; ++id) {
      scheduler_.add_backend(id, traits);
      scheduler_.set_up(id, true);
    }
  }

  void submit(std::uint32_t index, TimePoint now) override {
    const PromptRequest& request = requests_[index];
    Ticket& ticket = tickets_[index];
    ticket.arrival = now;
    ticket.deadline = now + kRequestTimeout;
    ticket.backends = BackendSet::first(scheduler_.backend_count());
    ticket.tokens = static_cast<std::uint32_t>(request.prompt_tokens);
    ticket.prefix = request.prefix;
    ticket.mergeable = Mergeable::kCompletion;
    ticket.short_answer = request.short_answer;
    ticket.identity = request.short_answer ? 1 : 2;
    scheduler_.submit(ticket);
  }

  void on_answered(const RoutedCall& call) override {
    for (const std::uint32_t request : call.requests) {
      scheduler_.complete(tickets_[request].verdict, 1, Outcome::kGood, now_);
    }
  }

  void observe(BackendId backend, const EngineSample& sample, TimePoint now) override {
    scheduler_.observe(backend, sample, now);
  }

  void take(TimePoint now, std::vector<RoutedCall>& calls) override {
    decided_.clear();
    now_ = now;
    scheduler_.take(now, decided_);
    for (const Ticket* ticket : decided_) {
      const Verdict& verdict = ticket->verdict;
      if (verdict.refused) throw std::logic_error("the scheduler refused a request");
      if (verdict.is_follower) continue;  // its leader names it
      RoutedCall& call = calls.emplace_back();
      call.backend = verdict.backend;
      call.requests.push_back(index_of(*ticket));
      for (const Ticket* follower : verdict.followers) call.requests.push_back(index_of(*follower));
    }
  }

  std::optional<TimePoint> next_due() const override { return scheduler_.next_due(); }

 private:
  std::uint32_t index_of(const Ticket& ticket) const {
    return static_cast<std::uint32_t>(&ticket - tickets_.data());
  }

  std::span<const PromptRequest> requests_;
  std::vector<Ticket> tickets_;  // outlive the scheduler
  Scheduler scheduler_;
  std::vector<Ticket*> decided_;
  TimePoint now_{};
};

// Decides at once, knowing only what is in flight where.
class PlainRouter : public Router {
 public:
  PlainRouter(std::span<const PromptRequest> requests, std::size_t backends)
      : requests_(requests), inflight_(backends) {}

  void submit(std::uint32_t request, TimePoint) override {
    const BackendId backend = choose(requests_[request]);
    ++inflight_[backend];
    calls_.push_back({backend, {request}});
  }
  void on_answered(const RoutedCall& call) override { --inflight_[call.backend]; }
  void observe(BackendId, const EngineSample&, TimePoint) override {}
  void take(TimePoint, std::vector<RoutedCall>& calls) override {
    std::ranges::move(calls_, std::back_inserter(calls));
    calls_.clear();
  }
  std::optional<TimePoint> next_due() const override { return std::nullopt; }

 protected:
  virtual BackendId choose(const PromptRequest& request) = 0;

  // Ties go round.
  BackendId least_outstanding() {
    const std::size_t count = inflight_.size();
    std::size_t best = rotation_ % count;
    for (std::size_t i = 1; i < count; ++i) {
      const std::size_t other = (rotation_ + i) % count;
      if (inflight_[other] < inflight_[best]) best = other;
    }
    rotation_ = best + 1;
    return static_cast<BackendId>(best);
  }

  const std::vector<int>& inflight() const { return inflight_; }
  BackendId next_in_rotation() { return static_cast<BackendId>(rotation_++ % inflight_.size()); }

 private:
  std::span<const PromptRequest> requests_;
  std::vector<int> inflight_;
  std::vector<RoutedCall> calls_;
  std::size_t rotation_ = 0;
};

class RoundRobin : public PlainRouter {
  using PlainRouter::PlainRouter;
  BackendId choose(const PromptRequest&) override { return next_in_rotation(); }
};

class LeastOutstanding : public PlainRouter {
  using PlainRouter::PlainRouter;
  BackendId choose(const PromptRequest&) override { return least_outstanding(); }
};

// Cache-aware routing as others do it: a passage stays where it went first, until that backend has
// far more in flight than another.
class SingleHome : public PlainRouter {
  using PlainRouter::PlainRouter;
  BackendId choose(const PromptRequest& request) override {
    constexpr int kSlack = 16;
    constexpr double kRatio = 1.5;
    const auto [least, most] = std::ranges::minmax(inflight());
    const auto home = homes_.find(request.passage);
    if (home != homes_.end()) {
      const int load = inflight()[home->second];
      if (most - least <= kSlack || load <= kRatio * least) return home->second;
    }
    return homes_[request.passage] = least_outstanding();
  }

  std::unordered_map<std::uint64_t, BackendId> homes_;
};

// `cache_aware` of sglang-router and SMG, with their defaults: the backend that was sent the
// longest beginning, or the one that was sent the least text when nothing is known; but the one
// with the fewest in flight while they differ by more than 64 and by half.
class CacheAware : public PlainRouter {
 public:
  CacheAware(std::span<const PromptRequest> requests, std::size_t backends)
      : PlainRouter(requests, backends), sent_(backends) {}

 private:
  BackendId choose(const PromptRequest& request) override {
    constexpr int kAbsolute = 64;
    constexpr double kRelative = 1.5;
    const auto [least, most] = std::ranges::minmax(inflight());
    const bool uneven = most - least > kAbsolute && most > kRelative * least;
    const auto home = homes_.find(request.passage);
    BackendId backend = 0;
    if (uneven) {
      backend = least_outstanding();
    } else if (home != homes_.end()) {
      backend = home->second;
    } else {
      backend = static_cast<BackendId>(std::ranges::min_element(sent_) - sent_.begin());
    }
    if (home == homes_.end() || home->second != backend) sent_[backend] += request.prompt_tokens;
    return homes_[request.passage] = backend;
  }

  std::unordered_map<std::uint64_t, BackendId> homes_;
  std::vector<std::int64_t> sent_;  // tokens that it did not have
};

// `prefix_hash` of SMG, with its defaults: a beginning's place on a ring, and from there the first
// backend that has not a quarter, and ten, more in flight than the mean.
class PrefixHash : public PlainRouter {
  using PlainRouter::PlainRouter;
  BackendId choose(const PromptRequest& request) override {
    constexpr double kFactor = 1.25;
    constexpr double kMargin = 10;
    const std::size_t count = inflight().size();
    const double mean = static_cast<double>(std::reduce(inflight().begin(), inflight().end())) /
                        static_cast<double>(count);
    const double most = std::max(kFactor * mean, mean + kMargin);
    const std::uint64_t place = sim::mix(sim::kHashStart, request.passage);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t backend = (place + i) % count;
      if (inflight()[backend] <= most) return static_cast<BackendId>(backend);
    }
    return least_outstanding();
  }
};

SchedulerOptions scheduler_options(Policy policy) {
  SchedulerOptions options;
  if (policy == Policy::kPassThrough) options.policy = FlushPolicy::kOff;
  if (policy == Policy::kFixed) options.policy = FlushPolicy::kFixed;
  if (policy == Policy::kNoAffinity) options.affinity = false;
  if (policy == Policy::kMergeOff) options.merge = MergePolicy::kOff;
  if (policy == Policy::kMergeAlways) options.merge = MergePolicy::kAlways;
  return options;
}

}  // namespace

std::string_view name_of(Policy policy) {
  switch (policy) {
    case Policy::kDefault:
      return "default";
    case Policy::kPassThrough:
      return "pass-through";
    case Policy::kFixed:
      return "fixed";
    case Policy::kNoAffinity:
      return "no-affinity";
    case Policy::kMergeOff:
      return "merge-off";
    case Policy::kMergeAlways:
      return "merge-always";
    case Policy::kRoundRobin:
      return "round-robin";
    case Policy::kLeastOutstanding:
      return "least-outstanding";
    case Policy::kSingleHome:
      return "single-home";
    case Policy::kCacheAware:
      return "cache-aware";
    case Policy::kPrefixHash:
      return "prefix-hash";
  }
  return "";
}

std::unique_ptr<Router> make_router(Policy policy, std::span<const PromptRequest> requests,
                                    std::size_t backends, const BackendTraits& traits) {
  switch (policy) {
    case Policy::kRoundRobin:
      return std::make_unique<RoundRobin>(requests, backends);
    case Policy::kLeastOutstanding:
      return std::make_unique<LeastOutstanding>(requests, backends);
    case Policy::kSingleHome:
      return std::make_unique<SingleHome>(requests, backends);
    case Policy::kCacheAware:
      return std::make_unique<CacheAware>(requests, backends);
    case Policy::kPrefixHash:
      return std::make_unique<PrefixHash>(requests, backends);
    case Policy::kDefault:
    case Policy::kPassThrough:
    case Policy::kFixed:
    case Policy::kNoAffinity:
    case Policy::kMergeOff:
    case Policy::kMergeAlways:
      break;
  }
  return std::make_unique<SchedulerRouter>(scheduler_options(policy), requests, backends, traits);
}

}  // namespace batchproxy::bench
