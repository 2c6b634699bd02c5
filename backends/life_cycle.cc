// backends/life_cycle.cc - the table, and the words for its states.
#include "backends/life_cycle.h"

// A switch that lacks an enumerator is an error here, whatever the build's flags are.
#pragma GCC diagnostic error "-Wswitch"

namespace batchproxy {

namespace {

// Where an event leads. It has no default: a row that lacks a column does not compile.
struct To {
  constexpr To(BackendState its_state) : state(its_state) {}  // NOLINT: made to be implicit
  BackendState state;
};

// What becomes of one state.
struct Row {
  To launched, came_up, probe_passed, probe_failed, call_failed, exited, given_up, restart_planned,
      removal_asked, drained;
};

constexpr To kConf = BackendState::kConfigured;
constexpr To kStart = BackendState::kStarting;
constexpr To kReady = BackendState::kReady;
constexpr To kDown = BackendState::kUnready;
constexpr To kDrain = BackendState::kDraining;
constexpr To kRestart = BackendState::kRestarting;
constexpr To kFailed = BackendState::kFailed;
constexpr To kGone = BackendState::kRemoved;

// clang-format off
//                          launched  came up   passed    failed    call      exited    given up  restart   removal   drained
constexpr Row kConfigured = {kStart,   kConf,    kReady,   kDown,    kDown,    kConf,    kFailed,  kConf,    kDrain,   kConf};
// The launcher alone knows whether what answers is the engine that it has started.
constexpr Row kStarting   = {kStart,   kReady,   kStart,   kStart,   kStart,   kFailed,  kFailed,  kStart,   kDrain,   kStart};
constexpr Row kIsReady    = {kReady,   kReady,   kReady,   kDown,    kDown,    kFailed,  kFailed,  kRestart, kDrain,   kReady};
constexpr Row kUnready    = {kDown,    kDown,    kReady,   kDown,    kDown,    kFailed,  kFailed,  kRestart, kDrain,   kDown};
// It ends when its calls do, whatever is heard of its server meanwhile.
constexpr Row kDraining   = {kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kGone};
// Whatever answers is not yet the new process.
constexpr Row kRestarting = {kStart,   kRestart, kRestart, kRestart, kRestart, kRestart, kFailed,  kRestart, kDrain,   kRestart};
constexpr Row kHasFailed  = {kFailed,  kFailed,  kFailed,  kFailed,  kFailed,  kFailed,  kFailed,  kRestart, kDrain,   kFailed};
// The backend that gets its id next is a new record.
constexpr Row kRemoved    = {kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone};
// clang-format on

constexpr const Row& row_of(BackendState state) {
  switch (state) {
    case BackendState::kConfigured:
      return kConfigured;
    case BackendState::kStarting:
      return kStarting;
    case BackendState::kReady:
      return kIsReady;
    case BackendState::kUnready:
      return kUnready;
    case BackendState::kDraining:
      return kDraining;
    case BackendState::kRestarting:
      return kRestarting;
    case BackendState::kFailed:
      return kHasFailed;
    case BackendState::kRemoved:
      return kRemoved;
  }
  return kRemoved;
}

}  // namespace

BackendState next(BackendState state, BackendEvent event) {
  const Row& row = row_of(state);
  switch (event) {
    case BackendEvent::kLaunched:
      return row.launched.state;
    case BackendEvent::kCameUp:
      return row.came_up.state;
    case BackendEvent::kProbePassed:
      return row.probe_passed.state;
    case BackendEvent::kProbeFailed:
      return row.probe_failed.state;
    case BackendEvent::kCallFailed:
      return row.call_failed.state;
    case BackendEvent::kExited:
      return row.exited.state;
    case BackendEvent::kGivenUp:
      return row.given_up.state;
    case BackendEvent::kRestartPlanned:
      return row.restart_planned.state;
    case BackendEvent::kRemovalAsked:
      return row.removal_asked.state;
    case BackendEvent::kDrained:
      return row.drained.state;
  }
  return state;
}

std::string_view to_string(BackendState state) {
  switch (state) {
    case BackendState::kConfigured:
    case BackendState::kStarting:
      return "starting";
    case BackendState::kReady:
      return "ready";
    case BackendState::kUnready:
    case BackendState::kFailed:
      return "unready";
    case BackendState::kDraining:
      return "draining";
    case BackendState::kRestarting:
      return "restarting";
    case BackendState::kRemoved:
      return "removed";
  }
  return "unknown";
}

std::string_view to_string(BackendEvent event) {
  switch (event) {
    case BackendEvent::kLaunched:
      return "launched";
    case BackendEvent::kCameUp:
      return "came up";
    case BackendEvent::kProbePassed:
      return "probe passed";
    case BackendEvent::kProbeFailed:
      return "probe failed";
    case BackendEvent::kCallFailed:
      return "call failed";
    case BackendEvent::kExited:
      return "exited";
    case BackendEvent::kGivenUp:
      return "given up";
    case BackendEvent::kRestartPlanned:
      return "restart planned";
    case BackendEvent::kRemovalAsked:
      return "removal asked";
    case BackendEvent::kDrained:
      return "drained";
  }
  return "unknown";
}

}  // namespace batchproxy
