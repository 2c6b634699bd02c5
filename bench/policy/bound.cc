// bench/policy/bound.cc - see bound.h.
#include "bench/policy/bound.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

namespace batchproxy::bench {

namespace {

constexpr double kPromptsPerCall = 16;  // at most: what merging can take off a front end

// Means over a workload, per request.
struct Means {
  double cached_tokens = 0;  // of its prompt, in a cache that forgets nothing
  double fresh_tokens = 0;   // of its prompt, the others
  double prefill_pairs = 0;
  double output_tokens = 0;
  double decode_steps = 0;
  double decode_context = 0;  // summed over its decode steps
  double decode_private = 0;  // the same without what others have in the cache too
  double lone_seconds = 0;    // on an idle server with that cache
};

sim::StepLoad prefill(double chunk, double before, bool last) {
  return {.tokens = static_cast<int>(chunk),
          .sequences = 1,
          .sampled = last ? 1 : 0,
          .prefill_pairs = chunk * (before + chunk / 2),
          .prefill_context = before};
}

double lone_seconds(const WorldOptions& options, const sim::Hardware& hardware,
                    const PromptRequest& request, int cached) {
  double seconds = 2 * kHopSeconds + kNetworkSeconds + options.front_end.per_call +
                   options.front_end.per_prompt +
                   options.front_end.per_token * request.output_tokens;
  const int budget = limits_of(options).max_num_batched_tokens;
  for (int done = cached; done < request.prompt_tokens; done += budget) {
    const int chunk = std::min(budget, request.prompt_tokens - done);
    seconds += hardware.step_seconds(prefill(chunk, done, done + chunk == request.prompt_tokens));
  }
  // A decode step's time is affine in the context, so that of the mean context stands for all.
  const sim::StepLoad decode{.tokens = 1,
                             .sequences = 1,
                             .sampled = 1,
                             .decode_context = request.prompt_tokens + request.output_tokens / 2.0};
  return seconds + (request.output_tokens - 1) * hardware.step_seconds(decode);
}

Means means_of(const WorldOptions& options, const sim::Hardware& hardware,
               std::span<const PromptRequest> requests) {
  Means mean;
  std::unordered_set<sim::BlockHash> seen;
  const bool caches = limits_of(options).prefix_caching;
  const double weight = 1 / static_cast<double>(requests.size());
  for (const PromptRequest& request : requests) {
    // A block's hash covers all before it, so the known ones come first.
    int blocks = 0;
    for (const sim::BlockHash block : request.blocks) blocks += seen.insert(block).second ? 0 : 1;
    const int usable = std::min(blocks, (request.prompt_tokens - 1) / sim::kKvBlockTokens);
    const int cached = caches ? usable * sim::kKvBlockTokens : 0;
    const double fresh = request.prompt_tokens - cached;
    const double steps = request.output_tokens - 1;
    mean.cached_tokens += weight * cached;
    mean.fresh_tokens += weight * fresh;
    mean.prefill_pairs += weight * fresh * (cached + fresh / 2);
    mean.output_tokens += weight * request.output_tokens;
    mean.decode_steps += weight * steps;
    mean.decode_context += weight * steps * (request.prompt_tokens + request.output_tokens / 2.0);
    mean.decode_private += weight * steps * (fresh + request.output_tokens / 2.0);
    mean.lone_seconds += weight * lone_seconds(options, hardware, request, cached);
  }
  return mean;
}

// Requests per second of a saturated engine in its best steady state: in every step as many
// requests are admitted as finish, and all those in between decode one token.
double saturated_engine(const sim::Hardware& hardware, const sim::EngineLimits& limits,
                        const Means& mean) {
  constexpr int kRates = 400;
  const double kv_tokens = static_cast<double>(limits.kv_blocks) * sim::kKvBlockTokens;
  double most = limits.max_num_batched_tokens / (mean.fresh_tokens + mean.decode_steps);
  if (mean.decode_steps > 0) {
    most =
        std::min({most, limits.max_num_seqs / mean.decode_steps, kv_tokens / mean.decode_private});
  }
  double best = 0;
  for (int i = 1; i <= kRates; ++i) {
    const double admitted = most * i / kRates;
    sim::StepLoad load;
    load.tokens = static_cast<int>(std::lround(admitted * (mean.fresh_tokens + mean.decode_steps)));
    load.sequences = static_cast<int>(std::lround(admitted * (1 + mean.decode_steps)));
    load.sampled = load.sequences;
    load.decode_context = admitted * mean.decode_context;
    load.prefill_pairs = admitted * mean.prefill_pairs;
    load.prefill_context = admitted * mean.cached_tokens;
    best = std::max(best, admitted / hardware.step_seconds(load));
  }
  return best;
}

}  // namespace

double throughput_bound(const WorldOptions& options, std::span<const PromptRequest> requests) {
  const sim::Hardware hardware(options.gpu, options.tensor_parallel);
  const Means mean = means_of(options, hardware, requests);
  const sim::FrontEndCosts& costs = options.front_end;
  const double front_end = 1 / (costs.per_call / kPromptsPerCall + costs.per_prompt +
                                costs.per_token * mean.output_tokens);
  const double server = std::min(front_end, saturated_engine(hardware, limits_of(options), mean));
  const auto slow = static_cast<double>(std::min(options.slow_servers, options.servers));
  const double saturated =
      server * (static_cast<double>(options.servers) - slow + slow / options.slowdown);
  const double fastest_lone =
      mean.lone_seconds * (options.servers <= options.slow_servers ? options.slowdown : 1.0);
  return std::min(static_cast<double>(options.workers) / (fastest_lone + options.think_seconds),
                  saturated);
}

}  // namespace batchproxy::bench
