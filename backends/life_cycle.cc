// backends/life_cycle.cc - the table, and the words for its states.
#include "backends/life_cycle.h"

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
      pause_asked, resume_asked, stop_asked, ended, removal_asked, drained;
};

constexpr To kConf = BackendState::kConfigured;
constexpr To kStart = BackendState::kStarting;
constexpr To kReady = BackendState::kReady;
constexpr To kDown = BackendState::kUnready;
constexpr To kPause = BackendState::kPaused;
constexpr To kDrain = BackendState::kDraining;
constexpr To kRestart = BackendState::kRestarting;
constexpr To kFailed = BackendState::kFailed;
constexpr To kEnding = BackendState::kStopping;
constexpr To kStop = BackendState::kStopped;
constexpr To kGone = BackendState::kRemoved;

// clang-format off
//                          launched  came up   passed    failed    call      exited    given up  restart   pause     resume    stop      ended     removal   drained
constexpr Row kConfigured = {kStart,   kConf,    kReady,   kDown,    kDown,    kConf,    kFailed,  kConf,    kConf,    kConf,    kConf,    kConf,    kDrain,   kConf};
// The launcher alone knows whether what answers is the engine that it has started.
constexpr Row kStarting   = {kStart,   kReady,   kStart,   kStart,   kStart,   kFailed,  kFailed,  kRestart, kStart,   kStart,   kEnding,  kStart,   kDrain,   kStart};
constexpr Row kIsReady    = {kReady,   kReady,   kReady,   kDown,    kDown,    kFailed,  kFailed,  kRestart, kPause,   kReady,   kEnding,  kReady,   kDrain,   kReady};
constexpr Row kUnready    = {kDown,    kDown,    kReady,   kDown,    kDown,    kFailed,  kFailed,  kRestart, kPause,   kDown,    kEnding,  kDown,    kDrain,   kDown};
// It is ready again once a probe has passed.
constexpr Row kIsPaused   = {kStart,   kPause,   kPause,   kPause,   kPause,   kFailed,  kFailed,  kRestart, kPause,   kDown,    kEnding,  kPause,   kDrain,   kPause};
// It ends when its calls do, whatever is heard of its server meanwhile.
constexpr Row kDraining   = {kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kDrain,   kGone};
// Whatever answers is not yet the new process.
constexpr Row kRestarting = {kStart,   kRestart, kRestart, kRestart, kRestart, kRestart, kFailed,  kRestart, kRestart, kRestart, kEnding,  kRestart, kDrain,   kRestart};
constexpr Row kHasFailed  = {kStart,   kFailed,  kFailed,  kFailed,  kFailed,  kFailed,  kFailed,  kRestart, kFailed,  kFailed,  kEnding,  kFailed,  kDrain,   kFailed};
constexpr Row kIsStopping = {kStart,   kEnding,  kEnding,  kEnding,  kEnding,  kEnding,  kEnding,  kRestart, kEnding,  kEnding,  kEnding,  kStop,    kDrain,   kEnding};
constexpr Row kIsStopped  = {kStart,   kStop,    kStop,    kStop,    kStop,    kStop,    kStop,    kRestart, kStop,    kStop,    kStop,    kStop,    kDrain,   kStop};
// The backend that gets its id next is a new record.
constexpr Row kRemoved    = {kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone,    kGone};
// clang-format on

struct StateRow {
  BackendState id{};
  std::string_view word{};
  const Row* row = nullptr;
};
constexpr EnumTable<StateRow> kStates({
    {BackendState::kConfigured, "starting", &kConfigured},
    {BackendState::kStarting, "starting", &kStarting},
    {BackendState::kReady, "ready", &kIsReady},
    {BackendState::kUnready, "unready", &kUnready},
    {BackendState::kPaused, "paused", &kIsPaused},
    {BackendState::kDraining, "draining", &kDraining},
    {BackendState::kRestarting, "restarting", &kRestarting},
    {BackendState::kFailed, "failed", &kHasFailed},
    {BackendState::kStopping, "stopping", &kIsStopping},
    {BackendState::kStopped, "stopped", &kIsStopped},
    {BackendState::kRemoved, "removed", &kRemoved},
});

struct EventRow {
  BackendEvent id{};
  std::string_view word{};
  To Row::* column = nullptr;
};
constexpr EnumTable<EventRow> kEvents({
    {BackendEvent::kLaunched, "launched", &Row::launched},
    {BackendEvent::kCameUp, "came up", &Row::came_up},
    {BackendEvent::kProbePassed, "probe passed", &Row::probe_passed},
    {BackendEvent::kProbeFailed, "probe failed", &Row::probe_failed},
    {BackendEvent::kCallFailed, "call failed", &Row::call_failed},
    {BackendEvent::kExited, "exited", &Row::exited},
    {BackendEvent::kGivenUp, "given up", &Row::given_up},
    {BackendEvent::kRestartPlanned, "restart planned", &Row::restart_planned},
    {BackendEvent::kPauseAsked, "pause asked", &Row::pause_asked},
    {BackendEvent::kResumeAsked, "resume asked", &Row::resume_asked},
    {BackendEvent::kStopAsked, "stop asked", &Row::stop_asked},
    {BackendEvent::kEnded, "ended", &Row::ended},
    {BackendEvent::kRemovalAsked, "removal asked", &Row::removal_asked},
    {BackendEvent::kDrained, "drained", &Row::drained},
});

}  // namespace

BackendState next(BackendState state, BackendEvent event) {
  return (kStates[state].row->*kEvents[event].column).state;
}

std::string_view to_string(BackendState state) {
  return kStates[state].word;
}

std::string_view to_string(BackendEvent event) {
  return kEvents[event].word;
}

}  // namespace batchproxy
