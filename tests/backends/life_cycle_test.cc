// tests/backends/life_cycle_test.cc - the life of a backend, cell by cell and as whole lives.
#include "backends/life_cycle.h"

#include <initializer_list>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using S = BackendState;
using E = BackendEvent;

S after(S state, std::initializer_list<E> events) {
  for (const E event : events) state = next(state, event);
  return state;
}

// Every event that moves a state; any other leaves it.
struct Move {
  S from;
  E event;
  S to;
};
constexpr std::array kMoves = {
    Move{S::kConfigured, E::kLaunched, S::kStarting},
    Move{S::kConfigured, E::kProbePassed, S::kReady},
    Move{S::kConfigured, E::kProbeFailed, S::kUnready},
    Move{S::kConfigured, E::kCallFailed, S::kUnready},
    Move{S::kConfigured, E::kGivenUp, S::kFailed},
    Move{S::kConfigured, E::kRemovalAsked, S::kDraining},
    Move{S::kStarting, E::kCameUp, S::kReady},
    Move{S::kStarting, E::kExited, S::kFailed},
    Move{S::kStarting, E::kGivenUp, S::kFailed},
    Move{S::kStarting, E::kRestartPlanned, S::kRestarting},
    Move{S::kStarting, E::kStopAsked, S::kStopping},
    Move{S::kStarting, E::kRemovalAsked, S::kDraining},
    Move{S::kReady, E::kProbeFailed, S::kUnready},
    Move{S::kReady, E::kCallFailed, S::kUnready},
    Move{S::kReady, E::kExited, S::kFailed},
    Move{S::kReady, E::kGivenUp, S::kFailed},
    Move{S::kReady, E::kRestartPlanned, S::kRestarting},
    Move{S::kReady, E::kPauseAsked, S::kPaused},
    Move{S::kReady, E::kStopAsked, S::kStopping},
    Move{S::kReady, E::kRemovalAsked, S::kDraining},
    Move{S::kUnready, E::kProbePassed, S::kReady},
    Move{S::kUnready, E::kExited, S::kFailed},
    Move{S::kUnready, E::kGivenUp, S::kFailed},
    Move{S::kUnready, E::kRestartPlanned, S::kRestarting},
    Move{S::kUnready, E::kPauseAsked, S::kPaused},
    Move{S::kUnready, E::kStopAsked, S::kStopping},
    Move{S::kUnready, E::kRemovalAsked, S::kDraining},
    Move{S::kPaused, E::kLaunched, S::kStarting},
    Move{S::kPaused, E::kExited, S::kFailed},
    Move{S::kPaused, E::kGivenUp, S::kFailed},
    Move{S::kPaused, E::kRestartPlanned, S::kRestarting},
    Move{S::kPaused, E::kResumeAsked, S::kUnready},
    Move{S::kPaused, E::kStopAsked, S::kStopping},
    Move{S::kPaused, E::kRemovalAsked, S::kDraining},
    Move{S::kDraining, E::kDrained, S::kRemoved},
    Move{S::kRestarting, E::kLaunched, S::kStarting},
    Move{S::kRestarting, E::kGivenUp, S::kFailed},
    Move{S::kRestarting, E::kStopAsked, S::kStopping},
    Move{S::kRestarting, E::kRemovalAsked, S::kDraining},
    Move{S::kFailed, E::kLaunched, S::kStarting},
    Move{S::kFailed, E::kRestartPlanned, S::kRestarting},
    Move{S::kFailed, E::kStopAsked, S::kStopping},
    Move{S::kFailed, E::kRemovalAsked, S::kDraining},
    Move{S::kStopping, E::kEnded, S::kStopped},
    Move{S::kStopping, E::kLaunched, S::kStarting},
    Move{S::kStopping, E::kRestartPlanned, S::kRestarting},
    Move{S::kStopping, E::kRemovalAsked, S::kDraining},
    Move{S::kStopped, E::kLaunched, S::kStarting},
    Move{S::kStopped, E::kRestartPlanned, S::kRestarting},
    Move{S::kStopped, E::kRemovalAsked, S::kDraining},
};

TEST(LifeCycle, MovesAsTheTableSaysAndInNoOtherWay) {
  for (const S from : kAllBackendStates) {
    for (const E event : kAllBackendEvents) {
      S to = from;
      for (const Move& move : kMoves) {
        if (move.from == from && move.event == event) to = move.to;
      }
      EXPECT_EQ(next(from, event), to) << to_string(from) << ", " << to_string(event);
    }
  }
}

TEST(LifeCycle, AServerOfTheUsersIsReadyOnceAProbeHasPassed) {
  EXPECT_EQ(after(S::kConfigured, {E::kProbeFailed, E::kProbePassed}), S::kReady);
}

TEST(LifeCycle, AnEngineThatLoadsIsNotReadyBecauseSomebodyAnswersOnItsPort) {
  EXPECT_EQ(after(S::kConfigured, {E::kLaunched, E::kProbePassed}), S::kStarting);
  EXPECT_EQ(after(S::kConfigured, {E::kLaunched, E::kProbeFailed}), S::kStarting);
  EXPECT_EQ(after(S::kConfigured, {E::kLaunched, E::kProbePassed, E::kCameUp}), S::kReady);
}

TEST(LifeCycle, AnEngineThatHasEndedStaysSoWhateverProbesSay) {
  EXPECT_EQ(after(S::kReady, {E::kExited, E::kProbeFailed, E::kProbePassed}), S::kFailed);
}

TEST(LifeCycle, ARestartLeadsThroughStartingAgain) {
  EXPECT_EQ(after(S::kReady, {E::kExited, E::kRestartPlanned}), S::kRestarting);
  EXPECT_EQ(after(S::kRestarting, {E::kProbePassed, E::kLaunched, E::kCameUp}), S::kReady);
  EXPECT_EQ(after(S::kRestarting, {E::kLaunched, E::kExited}), S::kFailed);
}

TEST(LifeCycle, OneThatIsRemovedDrainsFirstAndNeverComesBack) {
  for (const S state : kAllBackendStates) {
    const S left = after(state, {E::kRemovalAsked, E::kProbePassed, E::kCameUp, E::kLaunched});
    EXPECT_FALSE(is_present(left)) << to_string(state);
    EXPECT_EQ(next(left, E::kDrained), S::kRemoved) << to_string(state);
  }
}

TEST(LifeCycle, AnOrderIsCarriedOutInSteps) {
  EXPECT_EQ(after(S::kReady, {E::kPauseAsked, E::kProbePassed, E::kCallFailed}), S::kPaused);
  EXPECT_EQ(after(S::kPaused, {E::kResumeAsked, E::kProbePassed}), S::kReady);
  EXPECT_EQ(after(S::kPaused, {E::kStopAsked, E::kProbePassed, E::kExited}), S::kStopping);
  EXPECT_EQ(after(S::kStopping, {E::kProbePassed, E::kEnded, E::kEnded}), S::kStopped);
  EXPECT_EQ(after(S::kPaused, {E::kRestartPlanned, E::kLaunched, E::kCameUp}), S::kReady);
  EXPECT_EQ(after(S::kFailed, {E::kLaunched, E::kCameUp}), S::kReady) << "a person starts it";
}

TEST(LifeCycle, TheWordsAreThoseThatPeopleKnow) {
  EXPECT_EQ(to_string(S::kConfigured), "starting");
  EXPECT_EQ(to_string(S::kStarting), "starting");
  EXPECT_EQ(to_string(S::kReady), "ready");
  EXPECT_EQ(to_string(S::kUnready), "unready");
  EXPECT_EQ(to_string(S::kFailed), "failed");
  EXPECT_EQ(to_string(S::kPaused), "paused");
  EXPECT_EQ(to_string(S::kStopping), "stopping");
  EXPECT_EQ(to_string(S::kStopped), "stopped");
  EXPECT_EQ(to_string(S::kRestarting), "restarting");
}

}  // namespace
}  // namespace batchproxy
