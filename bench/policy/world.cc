// bench/policy/world.cc - see world.h.
#include "bench/policy/world.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <stdexcept>
#include <vector>

#include "backends/sim/model/hash.h"
#include "backends/sim/model/server_model.h"
#include "bench/results/statistics.h"

namespace batchproxy::bench {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kLookSeconds = 0.25;     // between looks at the engines' metrics
constexpr double kStaggerSeconds = 1e-4;  // between the workers' first requests

TimePoint time_point(double seconds) {
  return TimePoint(std::chrono::nanoseconds(std::llround(seconds * 1e9)));
}
double seconds_of(TimePoint at) {
  return std::chrono::duration<double>(at.time_since_epoch()).count();
}

class World {
 public:
  World(const WorldOptions& options, std::span<const PromptRequest> requests, Router& router)
      : options_(options), requests_(requests), router_(router), sent_at_(requests.size()) {
    const sim::Hardware hardware(options.gpu, options.tensor_parallel);
    for (std::size_t i = 0; i < options.servers; ++i) {
      servers_.push_back({sim::ServerModel(hardware, limits_of(options), options.front_end),
                          i < options.slow_servers ? options.slowdown : 1.0});
    }
  }

  Measurement run() {
    for (std::size_t worker = 0; worker < options_.workers; ++worker) {
      ask(static_cast<double>(worker) * kStaggerSeconds);
    }
    schedule(kLookSeconds, Kind::kLook, 0);
    while (answers_.size() < requests_.size()) step();
    return measure();
  }

 private:
  enum class Kind : std::uint8_t { kRequestArrives, kCallArrives, kAnswerArrives, kLook };
  struct Event {
    double at;
    std::uint64_t order;  // first scheduled, first served
    Kind kind;
    std::size_t subject;  // a request or a call
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  // A server in its own time, which runs slower than ours by a factor.
  struct Server {
    sim::ServerModel model;
    double slowdown;

    double next_event() const {
      const auto next = model.next_event();
      return next ? *next * slowdown : kNever;
    }
  };
  struct Answer {
    double at;
    double latency;
  };

  void schedule(double at, Kind kind, std::size_t subject) {
    events_.push({at, ++scheduled_, kind, subject});
  }

  // A worker sends its next request at `at`, if any is left.
  void ask(double at) {
    if (asked_ == requests_.size()) return;
    sent_at_[asked_] = at;
    schedule(at + kHopSeconds, Kind::kRequestArrives, asked_++);
  }

  double next_time() const {
    double next = events_.empty() ? kNever : events_.top().at;
    for (const Server& server : servers_) next = std::min(next, server.next_event());
    if (const auto due = router_.next_due()) next = std::min(next, seconds_of(*due));
    return next;
  }

  // Everything that happens at the next point in time.
  void step() {
    const double now = next_time();
    if (now == kNever) throw std::logic_error("requests wait, and nothing will ever happen");
    for (Server& server : servers_) advance(server, now);
    while (!events_.empty() && events_.top().at <= now) {
      const Event event = events_.top();
      events_.pop();
      handle(event);
    }
    taken_.clear();
    router_.take(time_point(now), taken_);
    for (RoutedCall& call : taken_) {
      prompts_sent_ += call.requests.size();
      calls_.push_back(std::move(call));
      schedule(now + kNetworkSeconds / 2, Kind::kCallArrives, calls_.size() - 1);
    }
  }

  void advance(Server& server, double now) {
    const auto next = server.model.next_event();
    if (!next || *next * server.slowdown > now) return;
    for (const sim::Delivery& delivery :
         server.model.advance(std::max(*next, now / server.slowdown))) {
      if (!delivery.call_finished) continue;
      schedule(delivery.at * server.slowdown + kNetworkSeconds / 2, Kind::kAnswerArrives,
               delivery.call);
    }
  }

  void handle(const Event& event) {
    switch (event.kind) {
      case Kind::kRequestArrives:
        return router_.submit(static_cast<std::uint32_t>(event.subject), time_point(event.at));
      case Kind::kCallArrives:
        return begin_call(event.subject, event.at);
      case Kind::kAnswerArrives:
        return on_answer(calls_[event.subject], event.at);
      case Kind::kLook:
        return look(event.at);
    }
  }

  void begin_call(std::size_t id, double now) {
    const RoutedCall& call = calls_[id];
    std::vector<sim::Work> items;
    for (const std::uint32_t index : call.requests) {
      const PromptRequest& request = requests_[index];
      items.push_back({request.prompt_tokens, request.output_tokens, request.blocks});
    }
    Server& server = servers_[call.backend];
    if (!server.model.begin_call(id, std::move(items), false, now / server.slowdown)) {
      throw std::logic_error("a request does not fit into a server's KV cache");
    }
  }

  void on_answer(const RoutedCall& call, double now) {
    router_.on_answered(call);
    const double at = now + kHopSeconds;
    for (const std::uint32_t index : call.requests) {
      answers_.push_back({at, at - sent_at_[index]});
      ask(at + think_time(index));
    }
  }

  double think_time(std::uint32_t index) const {
    if (options_.think_seconds == 0) return 0;
    return -std::log(1 - sim::unit_interval(sim::mix(sim::kHashStart, index))) *
           options_.think_seconds;
  }

  void look(double now) {
    for (BackendId id = 0; id < servers_.size(); ++id) {
      const sim::EngineModel& engine = servers_[id].model.engine();
      const EngineSample sample{static_cast<double>(engine.running()),
                                static_cast<double>(engine.waiting()),
                                engine.counters().preemptions, engine.counters().steps};
      router_.observe(id, sample, time_point(now));
    }
    schedule(now + kLookSeconds, Kind::kLook, 0);
  }

  Measurement measure() const {
    const std::size_t count = answers_.size();
    const std::size_t first = std::max(count / 4, std::min(2 * options_.workers, count / 2));
    const std::size_t last =
        count - std::max(count / 10, std::min(options_.workers, count / 3)) - 1;
    Measurement result;
    result.throughput =
        static_cast<double>(last - first) / (answers_[last].at - answers_[first].at);
    std::vector<double> latencies;
    for (std::size_t i = first; i <= last; ++i) latencies.push_back(answers_[i].latency);
    std::ranges::sort(latencies);
    result.p50 = quantile(latencies, 0.50);
    result.p99 = quantile(latencies, 0.99);
    double queries = 0;
    double hits = 0;
    for (const Server& server : servers_) {
      const auto& counters = server.model.engine().counters();
      queries += static_cast<double>(counters.prefix_queries);
      hits += static_cast<double>(counters.prefix_hits);
      result.preemptions += counters.preemptions;
    }
    result.hit_rate = queries > 0 ? hits / queries : 0;
    result.prompts_per_call =
        static_cast<double>(prompts_sent_) / static_cast<double>(calls_.size());
    return result;
  }

  const WorldOptions& options_;
  const std::span<const PromptRequest> requests_;
  Router& router_;
  std::vector<Server> servers_;
  std::priority_queue<Event> events_;
  std::uint64_t scheduled_ = 0;
  std::size_t asked_ = 0;
  std::vector<double> sent_at_;    // of each request
  std::vector<RoutedCall> calls_;  // all that ever left
  std::vector<RoutedCall> taken_;  // in the step in progress
  std::size_t prompts_sent_ = 0;
  std::vector<Answer> answers_;  // in order of time
};

}  // namespace

sim::EngineLimits limits_of(const WorldOptions& options) {
  const sim::Hardware hardware(options.gpu, options.tensor_parallel);
  const auto kv_tokens =
      static_cast<double>(hardware.kv_tokens(options.gpu_memory_utilization)) * options.kv_share;
  return {options.max_num_seqs > 0 ? options.max_num_seqs : hardware.default_max_num_seqs(),
          options.max_num_batched_tokens > 0 ? options.max_num_batched_tokens
                                             : hardware.default_max_num_batched_tokens(),
          std::llround(kv_tokens) / sim::kKvBlockTokens, options.prefix_caching};
}

BackendTraits traits_of(const WorldOptions& options) {
  const sim::EngineLimits limits = limits_of(options);
  BackendTraits traits;
  traits.max_num_seqs = static_cast<std::uint32_t>(limits.max_num_seqs);
  traits.kv_tokens = static_cast<std::uint64_t>(limits.kv_blocks * sim::kKvBlockTokens);
  traits.exact_usage = true;
  return traits;
}

Measurement run_world(const WorldOptions& options, std::span<const PromptRequest> requests,
                      Router& router) {
  return World(options, requests, router).run();
}

}  // namespace batchproxy::bench
