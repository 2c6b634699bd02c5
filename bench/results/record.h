// bench/results/record.h - Record: a load run as it is kept: what was measured, where and when,
// each request, and what the proxy counted meanwhile.
//
// A record is written as JSON with the field names of `vllm bench serve --save-result`, and all
// that these do not say below "batchproxy". `compare` and `report` read it back.
//
// Threading: values and pure functions, any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/results/fleet_counts.h"
#include "bench/results/request_result.h"
#include "bench/results/summary.h"

namespace batchproxy::bench {

// What is said of a run, in order: {"model", "…"}, {"machine", "…"}.
using Facts = std::vector<std::pair<std::string, std::string>>;

struct Repeat {
  double seconds = 0;  // from its beginning to its last answer
  Window window{};
  std::vector<RequestResult> requests{};  // in the order in which they were due
  std::optional<FleetCounts> counts{};    // nothing: no proxy told
  double client_cpu = 0;                  // seconds that this program took meanwhile
  std::size_t most_in_flight = 0;
};

struct Record {
  Facts facts{};
  std::string date{};  // "20261130-014500", UTC
  std::string model{};
  std::string endpoint{};     // "openai" or "openai-chat", as `vllm bench serve` says
  std::string load{};         // for people: "32 workers", "20 a second, Poisson"
  double rate = 0;            // requests a second; 0: as fast as the workers can
  std::size_t workers = 0;    // 0: as many in flight as there are
  std::string ended_early{};  // why the run was cut short; empty: it was not
  std::vector<Objective> objectives{};
  std::vector<Repeat> repeats{};
  // Gaps between tokens are not kept for each request; their figures are.
  std::optional<Distribution> gaps{};
};

Summary summarise(const Record& record);
Summary summarise(const Record& record, const Repeat& repeat);
// Of all repeats together; nothing if none has any.
std::optional<FleetCounts> counts_of(const Record& record);
double client_cpu_of(const Record& record);

std::string to_json(const Record& record);
// Throws std::runtime_error with a sentence that names `file` when that is no such record.
Record read_record(const std::string& json, const std::string& file);

// One JSON object a line for each request, with its answer: what happened, for looking up.
std::string to_lines(const Record& record);

}  // namespace batchproxy::bench
