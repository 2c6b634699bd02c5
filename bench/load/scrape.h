// bench/load/scrape.h - reads the engines' own counters, found through the proxy's /status.
//
// Threading: runs its own event loop on the calling thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace batchproxy::bench {

struct EngineCounters {
  double prefix_queries = 0;  // tokens looked up in the prefix caches
  double prefix_hits = 0;     // tokens found there
  bool simulated = false;     // any of the engines
  std::size_t engines = 0;
};

// Sums over all backends of the proxy whose admin address is `admin_url`; backends that do not
// answer are left out. Throws std::runtime_error when the proxy itself does not answer.
EngineCounters scrape_engines(const std::string& admin_url);

// The sum of all samples of metric `name` in Prometheus text.
double sum_of(std::string_view metrics, std::string_view name);

}  // namespace batchproxy::bench
