// bench/trial/live_trial.h - a sample of questions asked of a topology by so many workers, and what
// the virtual world says of the same.
//
// Threading: measure_trial() runs the client's event loop on the calling thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "bench/advice/advice.h"
#include "bench/load/client.h"
#include "bench/load/measure.h"
#include "bench/load/subject.h"
#include "bench/load/workload.h"
#include "bench/policy/world.h"

namespace batchproxy::bench {

struct TrialOptions {
  Topology topology{};
  std::size_t workers = 32;
  double duration = 20;   // seconds of the engines in which questions are asked, at most
  double time_scale = 1;  // real seconds for each of theirs
  bool shows_line = false;
  std::function<bool()> is_interrupted{};  // see MeasureOptions
};

struct MeasuredTrial {
  Trial trial{};
  std::size_t asked = 0;
  std::string ended_early{};  // why; empty: it was not
  bool stopped = false;       // by a signal
};
MeasuredTrial measure_trial(LoadClient& client, const Subject& subject,
                            const std::vector<ReadyQuestion>& questions,
                            const TrialOptions& options);

// The part of a run in which all workers were busy: without its first fifth, in which caches fill,
// and without what came after the last question had been asked.
Window busy_window(const Repeat& repeat);

// Adds the bound and the virtual-time figure. `world` has the engines. Questions that the virtual
// world does not know leave the trial as it is.
void reckon(const WorldOptions& world, const std::vector<ReadyQuestion>& questions,
            int max_model_len, Trial& trial);

}  // namespace batchproxy::bench
