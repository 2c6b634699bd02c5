// proxy/trace/record_text.h - a RequestRecord as JSON, and as a line for people.
//
// Threading: pure functions, any thread.
#pragma once

#include <chrono>
#include <string>

#include "proxy/trace/request_record.h"

namespace batchproxy {

// One moment on both clocks, to tell the time of day of the other's.
struct ClockPair {
  std::chrono::system_clock::time_point wall_of(TimePoint when) const {
    return wall + std::chrono::duration_cast<std::chrono::system_clock::duration>(when - steady);
  }

  TimePoint steady{};
  std::chrono::system_clock::time_point wall{};
};

// In one word: how its attempt ended. `200`, `503`, or why there was no answer: `reset`, `cut`, ...
// as in batchproxy_attempts_failed_total.
std::string end_of(const AttemptRecord& attempt);

// An object on one line. Times are milliseconds from the arrival on.
std::string to_json(const RequestRecord& record, const ClockPair& clocks);
// When, status, result, method and path, then `name=value`, each where there is one.
std::string to_line(const RequestRecord& record, const ClockPair& clocks);

}  // namespace batchproxy
