// proxy/control/backend_notes.h - BackendNotes: what people want to know of a backend besides its
// record: since when it is as it is, what it does while it loads, what went wrong last, and what
// its own metrics say.
//
// Threading: confined to the control thread.
#pragma once

#include <optional>
#include <string>

#include "backends/health/engine_metrics.h"
#include "batcher/base/time.h"

namespace batchproxy {

struct BackendNotes {
  struct Problem {
    std::string text;
    TimePoint at{};
  };

  void note_problem(std::string text, TimePoint at) { problem = {std::move(text), at}; }
  // It has gone into another state.
  void begin_state(TimePoint at) {
    since = at;
    doing.clear();
  }

  // What it does at the moment is not known any more; its counters stay as they were.
  void forget_gauges() {
    figures.running = figures.waiting = figures.kv_use = 0;
    tells = false;
  }

  TimePoint since{};               // in its state
  std::string doing;               // while it loads; once stopped, what is not known of its end
  std::optional<Problem> problem;  // the last one, over or not
  TimePoint told{};                // the log was told why it is not ready
  EngineFigures figures;           // as last read
  bool tells = false;              // they could be read the last time
};

}  // namespace batchproxy
