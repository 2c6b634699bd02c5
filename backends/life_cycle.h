// backends/life_cycle.h - the life of a backend, as one table: what each event makes of each state.
//
//                  launched            came up        probes, calls
//     configured ───────────▶ starting ────────▶ ready ◀──────────▶ unready
//          │                   ▲  ▲  │             │                  │
//          └─ probes: ready,   │  │  └─────────────┼──────────────────┤
//             unready          │  │      restart planned              │ exited, given up
//                     launched │  └─ restarting ◀──┘                  ▼
//                              └─────────────────────────────────── failed
//
//     ready, unready ── pause asked ──▶ paused ── resume asked ──▶ unready
//     any engine     ── stop asked ──▶ stopping ── ended ──▶ stopped ── launched ──▶ starting
//     any of them ── removal asked ──▶ draining ── drained ──▶ removed
//
// An engine that we start is `starting` until the launcher says that it came up: before its own
// process runs, whatever answers on its port is somebody else. A server that the user has named is
// `configured` until the first probe has an outcome.
//
// A state or an event without its place in the table of life_cycle.cc does not compile.
//
// Threading: pure functions over values, any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "batcher/base/enum_table.h"

namespace batchproxy {

enum class BackendState : std::uint8_t {
  kConfigured,  // named by the configuration; nobody has seen it yet
  kStarting,    // an engine of ours that loads, or waits for its turn
  kReady,       // takes requests
  kUnready,     // is there no more, or not now; its requests wait or go elsewhere
  kPaused,      // an operator has asked that it gets no more requests; it finishes what it has
  kDraining,    // a reload has removed it; it finishes what it has
  kRestarting,  // an engine of ours that has ended and is to be started again
  kFailed,      // an engine of ours that has ended, and is not started again by itself
  kStopping,    // an operator has asked for its end, and it may not have come
  kStopped,     // an engine of ours that an operator has stopped: nobody waits for it any more
  kRemoved,     // nothing of it is left: its id is free

  kCount  // of them; no state
};
inline constexpr auto& kAllBackendStates = kAll<BackendState>;

enum class BackendEvent : std::uint8_t {
  kLaunched,        // the launcher has it in hand
  kCameUp,          // its process runs and answers, says the launcher
  kProbePassed,     // the monitor believes that it is fit for work
  kProbeFailed,     // or that it is not
  kCallFailed,      // a request found nobody at home
  kExited,          // its process has ended, unasked
  kGivenUp,         // it did not start in time, or at all
  kRestartPlanned,  // it has ended, or is to end, and is to be started again
  kPauseAsked,      // an operator wants it to get no more requests
  kResumeAsked,     // or to get some again
  kStopAsked,       // or wants its process to end
  kEnded,           // as was asked: none of its processes is left, or is waited for
  kRemovalAsked,    // the configuration does not name it any more
  kDrained,         // no call to it is left

  kCount  // of them; no event
};
inline constexpr auto& kAllBackendEvents = kAll<BackendEvent>;

// The state after `event`. One that says nothing to a state leaves it as it is.
BackendState next(BackendState state, BackendEvent event);

// For people, in /status and on the console. Two states may share a word: which of them it is makes
// no difference to a reader.
std::string_view to_string(BackendState state);
// For the messages of tests.
std::string_view to_string(BackendEvent event);

// A backend that has been up and whose process has not ended: what a probe or a call says of it
// counts.
constexpr bool is_up(BackendState state) {
  return state == BackendState::kReady || state == BackendState::kUnready;
}
// One of the backends that the configuration asks for.
constexpr bool is_present(BackendState state) {
  return state != BackendState::kDraining && state != BackendState::kRemoved;
}

}  // namespace batchproxy
