// bench/advice/advice.h - what came of the topologies that were tried, and which is advised.
//
// Threading: values and pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/advice/topology.h"
#include "bench/results/record.h"

namespace batchproxy::bench {

// A topology with so many workers. Seconds are those of the engines: of simulated ones, simulated.
struct Trial {
  std::size_t workers = 0;
  double per_second = 0;         // questions answered
  double p50 = 0, p99 = 0;       // seconds, of whole answers
  double failed = 0;             // share of the questions
  std::string failures{};        // "3 of 151 failed: 2 × 503 no_backend, …"; empty: none has
  std::optional<double> fill{};  // prompts of a mean batch
  std::optional<double> prefix_share{};
  // What `policy` can tell, of simulated engines; questions a second.
  std::optional<double> bound{};         // that nothing can exceed
  std::optional<double> virtual_time{};  // of the same questions
};

struct Candidate {
  Topology topology{};
  std::string skipped{};  // why there are no trials; empty: it was tried
  double start_seconds = 0;
  std::optional<std::int64_t> context{};    // tokens, that an engine takes at most
  std::optional<std::int64_t> kv_tokens{};  // of an engine's KV cache
  std::vector<std::string> remarks{};       // what was changed so that it started
  std::vector<Trial> trials{};
};

struct AdviceLog {
  Facts facts{};
  std::string simulated{};  // "A100": of the engines; empty: they are real
  bool stopped = false;
  double seconds = 0;  // that all of it took
  std::vector<Candidate> candidates{};
};

struct Advice {
  const Candidate* candidate = nullptr;
  const Trial* trial = nullptr;  // with the workers that are advised
  std::string reason{};          // a sentence
};

// The topology with the most questions a second; of those within 5 %, the one with the least p99.
// As many workers as it takes to come within 5 % of its most. Of trials in which more than 1 % of
// the questions failed none is advised. Nothing when none is left.
std::optional<Advice> advise(const AdviceLog& log);

// "1 worker", "32 workers".
std::string worker_words(std::size_t workers);

// The trial with the most questions a second, of those that may be advised; null when there is
// none.
const Trial* best_trial(const Candidate& candidate);

// How the live order of the topologies agrees with that of the virtual-time run, with equal
// workers, wherever that tells them apart by more than 10 %. Empty when nothing can be compared.
std::string order_words(const AdviceLog& log);

// "topologies" with or without a word of their being simulated, for titles.
std::string title_of(const AdviceLog& log);

std::string to_text(const AdviceLog& log);
std::string to_json(const AdviceLog& log);

}  // namespace batchproxy::bench
