// bench/sweep/sweep_plan.h - Setting: one way to run a proxy and its workers; and which of them a
// sweep tries.
//
// Threading: values and pure functions, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace batchproxy::bench {

struct Setting {
  std::size_t workers = 32;
  std::string flush = "eager";
  std::string merge = "auto";
  int batch_size = 16;
  double batch_timeout = 0.5;  // seconds

  friend bool operator==(const Setting&, const Setting&) = default;
};

// What a user wants tried of each.
struct SweepAxes {
  std::vector<std::size_t> workers{};
  std::vector<std::string> flush{};
  std::vector<std::string> merge{};
  std::vector<int> batch_sizes{};
  std::vector<double> batch_timeouts{};
};

// Every combination that can differ from the others. How full a batch gets, and how long it waits,
// matters under `fixed` and where requests are always merged; elsewhere only the first size and
// time-out are tried.
std::vector<Setting> settings_of(const SweepAxes& axes);

// Whether sizes and time-outs matter.
bool goes_by_batches(const Setting& setting);

// The query of /admin/reload that tries it: "flush=fixed&batch_size=16&…".
std::string query_of(const Setting& setting);
// Without its workers, for people: "fixed, 16 or 0.5 s" or "eager, merge off".
std::string words_of(const Setting& setting);
// The lines of a configuration that make it stay.
std::string yaml_of(const Setting& setting);

}  // namespace batchproxy::bench
