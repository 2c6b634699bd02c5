// bench/load/measure.h - a load run from its beginning to its end: its repeats, what the proxy
// counted meanwhile, the line that shows how it goes, and Ctrl-C.
//
// Threading: runs the client's event loop on the calling thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "bench/load/client.h"
#include "bench/load/load.h"
#include "bench/load/subject.h"
#include "bench/results/record.h"
#include "bench/results/summary.h"

namespace batchproxy::bench {

struct MeasureOptions {
  LoadOptions load{};
  std::size_t repeats = 1;
  Cut warm_up{}, cool_down{};
  bool shows_line = false;  // on stderr
  // Whether a signal came before measure() heard any: null where those end the program.
  std::function<bool()> is_interrupted{};
};

struct Measured {
  std::vector<Repeat> repeats{};
  std::string ended_early{};  // why; empty: it was not
  bool stopped = false;       // by a signal
};

Measured measure(LoadClient& client, const Subject& subject,
                 const std::vector<ReadyQuestion>& questions, const MeasureOptions& options);

// "closed loop, 32 workers" or "open loop, 20 a second (poisson, seed 1)".
std::string load_words(const LoadOptions& options);

}  // namespace batchproxy::bench
