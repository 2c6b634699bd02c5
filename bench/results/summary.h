// bench/results/summary.h - Summary: the requests of a load run in figures.
//
// Threading: pure functions, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/results/latency.h"
#include "bench/results/request_result.h"
#include "bench/results/statistics.h"

namespace batchproxy::bench {

// The part of a run that counts: without its warm-up and cool-down. Seconds since the run began.
struct Window {
  double begin = 0;
  double end = 0;

  double seconds() const { return end - begin; }
  bool has(double moment) const { return moment >= begin && moment <= end; }
};

// A latency that an answer may have at most to be a good one, as {"ttft", 0.2}.
struct Objective {
  Latency latency{};
  double seconds = 0;
};

struct Failure {
  std::size_t count = 0;
  std::string example{};  // the first one's sentence
};

struct Summary {
  double seconds = 0;  // of the windows, all together
  // Of the requests that were due within the windows.
  std::size_t asked = 0;
  std::size_t answered = 0;
  std::map<std::string, Failure> failures{};  // by RequestResult::problem
  std::array<Distribution, kCountOf<Latency>> latencies{};
  std::map<std::string, double> share{};  // of the answered, by backend
  std::size_t marked = 0, right = 0;      // answers to questions whose right option is known
  std::size_t ids_checked = 0, ids_wrong = 0;
  std::size_t left_out = 0;        // requests of the warm-ups and cool-downs
  std::optional<double> good = 0;  // a second; nothing without objectives
  // Of what ended within the windows.
  double per_second = 0;  // answers
  std::int64_t prompt_tokens = 0, output_tokens = 0;

  std::size_t failed() const { return asked - answered; }
  const Distribution& operator[](Latency latency) const {
    return latencies[static_cast<std::size_t>(latency)];
  }
  // Whatever is a rate per second of the windows.
  double rate(std::int64_t count) const;
};

// The requests of one run, or of one repeat of it.
struct Stretch {
  std::span<const RequestResult> requests;
  Window window;
};
Summary summarise(std::span<const Stretch> stretches, std::span<const Objective> objectives);

// Whether the answer is as fast as all objectives want it.
bool is_good(const RequestResult& result, std::span<const Objective> objectives);

// "ttft:200", in milliseconds. Throws std::runtime_error that says what it should be.
Objective parse_objective(const std::string& text);

// How much of a run is not to count at its beginning or end: "5s" or "10%".
struct Cut {
  double seconds = 0;
  double share = 0;  // of the run

  double of(double all) const { return seconds + share * all; }
};
// Throws std::runtime_error that says what it should be.
Cut parse_cut(const std::string& text);
// What is left of a run of `seconds`. At least its middle moment.
Window window_of(double seconds, const Cut& warm_up, const Cut& cool_down);

}  // namespace batchproxy::bench
