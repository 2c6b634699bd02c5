// bench/policy/world.h - workers, a router and simulated servers in one virtual time.
//
// A closed loop: every worker sends one request, waits for its answer, thinks, and sends the next.
// The same run gives the same figures on every machine, to the last digit or nearly so.
//
// Threading: runs on the calling thread.
#pragma once

#include <cstddef>
#include <span>

#include "backends/sim/model/engine_model.h"
#include "backends/sim/model/front_end.h"
#include "backends/sim/model/hardware.h"
#include "bench/policy/router.h"
#include "bench/policy/workload.h"

namespace batchproxy::bench {

struct WorldOptions {
  sim::Gpu gpu = sim::Gpu::kA100;
  std::size_t servers = 4;
  int tensor_parallel = 2;       // GPUs of each server
  double slowdown = 1;           // everything takes so many times as long, ...
  std::size_t slow_servers = 1;  // ... on the first of them
  double kv_share = 1;           // of the KV cache that the hardware has room for
  // As vLLM has these flags; 0: its default on this GPU.
  int max_num_seqs = 0;
  int max_num_batched_tokens = 0;
  double gpu_memory_utilization = 0.9;
  bool prefix_caching = true;
  sim::FrontEndCosts front_end;
  std::size_t workers = 64;
  double think_seconds = 0;  // mean, exponential
};

// Seconds on the way.
inline constexpr double kHopSeconds = 0.1e-3;      // worker to proxy or back
inline constexpr double kNetworkSeconds = 0.3e-3;  // proxy to server and back

struct Measurement {
  double throughput = 0;    // requests per second
  double p50 = 0, p99 = 0;  // seconds, from the worker's sending to its having the answer
  double hit_rate = 0;      // of prompt tokens, in the prefix caches
  double prompts_per_call = 0;
  std::uint64_t preemptions = 0;
};

// Sends all `requests`. Figures leave out the beginning, in which caches fill, and the end, in
// which workers run out of requests.
Measurement run_world(const WorldOptions& options, std::span<const PromptRequest> requests,
                      Router& router);

// What a server of `options` tells the router about itself.
BackendTraits traits_of(const WorldOptions& options);
sim::EngineLimits limits_of(const WorldOptions& options);

}  // namespace batchproxy::bench
