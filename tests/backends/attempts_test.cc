// tests/backends/attempts_test.cc - what becomes of a request after each try, and what a try tells
// about its backend.
#include "backends/call/attempts.h"

#include <string>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using Next = Attempts::Next;

const BackendSet kThree = BackendSet::first(3);

Attempt failed(CallFailure failure, BackendId backend = 0) {
  return {.backend = backend, .failure = failure};
}
Attempt answered(unsigned status, BackendId backend = 0) {
  return {.backend = backend, .status = status};
}
Attempt asked_to_wait(unsigned status, BackendId backend = 0) {
  return {.backend = backend, .status = status, .asks_to_wait = true};
}
// What the next try would be like.
Ticket next_ticket(const Attempts& attempts) {
  Ticket ticket;
  attempts.prepare_retry(ticket, false);
  return ticket;
}
bool is_suspect(const Attempts& attempts) {
  return next_ticket(attempts).suspect;
}

// Its engine was seen to have ended with it.
Attempt died(CallFailure failure, BackendId backend = 0) {
  return {.backend = backend, .failure = failure, .went_down = true};
}
Attempt full(unsigned status, bool may_wait = false, BackendId backend = 0) {
  return {.backend = backend, .status = status, .may_wait = may_wait};
}

Attempt late(Attempt attempt) {
  attempt.time_left = false;
  return attempt;
}

constexpr CallFailure kDeaths[] = {CallFailure::kNoAnswer, CallFailure::kCutAnswer,
                                   CallFailure::kBareError};
constexpr CallFailure kUnsent[] = {CallFailure::kRefused, CallFailure::kUnreachable};
constexpr CallFailure kBad[] = {CallFailure::kBadAnswer, CallFailure::kWrongCount};

TEST(Attempts, DeliverAnAnswerThatIsNoServerError) {
  for (const unsigned status : {200u, 201u, 301u, 400u, 404u, 422u, 499u}) {
    Attempts attempts;
    EXPECT_EQ(attempts.after(answered(status), kThree), Next::kDeliver) << status;
    EXPECT_EQ(attempts.made(), 1u);
  }
}

TEST(Attempts, AskAnotherBackendAboutAServerErrorIfTheBudgetAllows) {
  for (const unsigned status : {500u, 502u, 504u, 599u}) {
    Attempts attempts;
    EXPECT_EQ(attempts.after(answered(status, 0), kThree), Next::kRetryInBudget) << status;
    EXPECT_EQ(attempts.after(answered(status, 1), kThree), Next::kRetryInBudget) << status;
    EXPECT_EQ(attempts.after(answered(status, 2), kThree), Next::kDeliver) << status;
    EXPECT_FALSE(is_suspect(attempts));
  }
}

TEST(Attempts, SendWhatCameBackAgainWhenThereIsRoomAndDoNotCountIt) {
  Attempts attempts;
  EXPECT_EQ(attempts.after(failed(CallFailure::kRecalled), kThree), Next::kWait);
  EXPECT_EQ(attempts.made(), 0u);
  EXPECT_EQ(attempts.after(late(failed(CallFailure::kRecalled)), kThree), Next::kDeliver);
  EXPECT_EQ(outcome_of(failed(CallFailure::kRecalled)), Outcome::kUnknown);
}

TEST(Attempts, CountACallThatStandsStillAsOneOfTheThree) {
  Attempts attempts;
  EXPECT_TRUE(attempts.any_left());
  attempts.begin_beside();
  EXPECT_EQ(attempts.after(failed(CallFailure::kNoAnswer, 1), kThree), Next::kRetry);
  EXPECT_TRUE(attempts.any_left());
  EXPECT_EQ(attempts.after(failed(CallFailure::kNoAnswer, 2), kThree), Next::kDeliver);
  EXPECT_FALSE(attempts.any_left());
  attempts.end_beside();
  EXPECT_EQ(attempts.after(failed(CallFailure::kNone, 0), kThree), Next::kDeliver);
  EXPECT_EQ(attempts.made(), 3u);
}

TEST(Attempts, DeliverAServerErrorWhenNobodyElseServesTheModel) {
  Attempts attempts;
  EXPECT_EQ(attempts.after(answered(500, 0), BackendSet::first(1)), Next::kDeliver);
  Attempts of_two;
  EXPECT_EQ(of_two.after(answered(500, 0), BackendSet::first(2)), Next::kRetryInBudget);
  EXPECT_EQ(of_two.after(answered(500, 1), BackendSet::first(2)), Next::kDeliver);
}

TEST(Attempts, AskAnotherBackendAtNoCostWhenOneAsksToWait) {
  for (const unsigned status : {429u, 503u}) {
    Attempts attempts;
    EXPECT_EQ(attempts.after(asked_to_wait(status, 0), kThree), Next::kRetry) << status;
    EXPECT_EQ(attempts.after(asked_to_wait(status, 1), BackendSet::first(2)), Next::kDeliver)
        << "all have asked, so the client shall wait";
  }
}

TEST(Attempts, WaitHereForAFullBackendAndDoNotCountThat) {
  for (const unsigned status : {429u, 503u}) {
    Attempts attempts;
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(attempts.after(full(status, /*may_wait=*/true), kThree), Next::kWait) << status;
    }
    EXPECT_EQ(attempts.made(), 0u);
    EXPECT_TRUE(next_ticket(attempts).avoid.empty());
    EXPECT_TRUE(attempts.failed_by().empty());
    EXPECT_EQ(attempts.after(late(full(status, /*may_wait=*/true)), kThree), Next::kDeliver);
  }
}

TEST(Attempts, AskAnotherBackendAtNoCostWhereAFullOneCannotBeWaitedFor) {
  for (const unsigned status : {429u, 503u}) {
    Attempts attempts;
    EXPECT_EQ(attempts.after(full(status, false, 0), BackendSet::first(2)), Next::kRetry);
    EXPECT_EQ(attempts.after(full(status, false, 1), BackendSet::first(2)), Next::kDeliver);
    EXPECT_TRUE(attempts.failed_by().empty()) << "nobody has failed it";
  }
}

TEST(Attempts, DoNotWaitForOneThatSaysWhenToComeAgain) {
  for (const unsigned status : {429u, 503u}) {
    EXPECT_FALSE(asked_to_wait(status).is_full());
    Attempts attempts;
    EXPECT_EQ(attempts.after(asked_to_wait(status), BackendSet::first(1)), Next::kDeliver);
  }
}

TEST(Attempts, RememberWhoFailedItByAnErrorOfItsOwn) {
  Attempts attempts;
  attempts.after(answered(500, 0), kThree);
  attempts.after(failed(CallFailure::kNoAnswer, 1), kThree);
  attempts.after(answered(400, 2), kThree);
  EXPECT_EQ(attempts.failed_by(), BackendSet::first(1));
}

TEST(Attempts, AskElsewhereOnlyWhoHasNotFailedInAnyWay) {
  Attempts attempts;
  EXPECT_EQ(attempts.after(failed(CallFailure::kRefused, 1), kThree), Next::kRetry);
  EXPECT_EQ(attempts.after(answered(500, 0), BackendSet::first(2)), Next::kDeliver);
}

TEST(Attempts, DoNotCountATryThatSentNothing) {
  for (const CallFailure failure : kUnsent) {
    Attempts attempts;
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(attempts.after(failed(failure, 1), kThree), Next::kRetry);
    }
    EXPECT_EQ(attempts.made(), 0u);
    EXPECT_FALSE(is_suspect(attempts));
    EXPECT_EQ(next_ticket(attempts).avoid, BackendSet::first(2) - BackendSet::first(1));
    EXPECT_EQ(attempts.after(late(failed(failure)), kThree), Next::kDeliver);
  }
}

constexpr CallFailure kLosses[] = {CallFailure::kNoAnswer, CallFailure::kCutAnswer,
                                   CallFailure::kStuck};

TEST(Attempts, SendAgainWhatWasLostThreeTimesInAllAndThenAlone) {
  for (const CallFailure failure : kLosses) {
    Attempts attempts;
    // Elsewhere or not: with one backend it waits until that one is back.
    EXPECT_EQ(attempts.after(failed(failure), BackendSet::first(1)), Next::kRetry);
    EXPECT_EQ(attempts.after(failed(failure), BackendSet::first(1)), Next::kRetry);
    EXPECT_FALSE(is_suspect(attempts)) << "nothing blames the request yet";
    EXPECT_EQ(attempts.after(failed(failure), BackendSet::first(1)), Next::kRetry);
    EXPECT_TRUE(is_suspect(attempts)) << "no other engine's end is to be met again";
    EXPECT_TRUE(attempts.any_left());
    const Attempt last{.backend = 0, .failure = failure, .alone = true};
    EXPECT_EQ(attempts.after(last, BackendSet::first(1)), Next::kDeliver);
    EXPECT_EQ(attempts.made(), 4u);
    EXPECT_FALSE(attempts.any_left());
  }
}

// A lane that gives nobody an engine to itself: the tries are bounded all the same.
TEST(Attempts, GiveALostRequestFourTriesAtMost) {
  Attempts attempts;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(attempts.after(failed(CallFailure::kNoAnswer), kThree), Next::kRetry);
  }
  EXPECT_EQ(attempts.after(failed(CallFailure::kNoAnswer), kThree), Next::kDeliver);
}

TEST(Attempts, GiveNoFourthTryToWhatWasAnsweredBadlyOnce) {
  Attempts attempts;
  EXPECT_EQ(attempts.after(answered(500, 0), kThree), Next::kRetryInBudget);
  EXPECT_EQ(attempts.after(failed(CallFailure::kNoAnswer, 1), kThree), Next::kRetry);
  EXPECT_EQ(attempts.after(failed(CallFailure::kNoAnswer, 2), kThree), Next::kDeliver);
}

TEST(Attempts, GiveNoFourthTryToWhatWasLostAlone) {
  Attempts attempts;
  EXPECT_EQ(attempts.after(died(CallFailure::kNoAnswer, 0), kThree), Next::kRetry);
  EXPECT_EQ(attempts.after(died(CallFailure::kNoAnswer, 1), kThree), Next::kRetry);
  const Attempt last{.backend = 2, .failure = CallFailure::kNoAnswer, .alone = true};
  EXPECT_EQ(attempts.after(last, kThree), Next::kDeliver);
}

TEST(Attempts, SendAgainAtNoCostWhatAnEngineEndedUnderHoweverThatShowed) {
  for (const CallFailure failure : kDeaths) {
    Attempts attempts;
    EXPECT_EQ(attempts.after(died(failure), BackendSet::first(1)), Next::kRetry);
    EXPECT_EQ(attempts.after(died(failure), BackendSet::first(1)), Next::kRetry);
    Attempt last = died(failure);
    last.alone = true;
    EXPECT_EQ(attempts.after(last, BackendSet::first(1)), Next::kPoison);
  }
  Attempts attempts;
  Attempt told = answered(500);
  told.went_down = true;
  EXPECT_EQ(attempts.after(told, BackendSet::first(1)), Next::kRetry);
  EXPECT_TRUE(attempts.failed_by().empty()) << "the error tells of the end, not of the request";
}

TEST(Attempts, SuspectARequestFromItsSecondDeathOn) {
  for (const CallFailure failure : kDeaths) {
    Attempts attempts;
    attempts.after(died(failure, 0), kThree);
    EXPECT_FALSE(is_suspect(attempts));
    attempts.after(failed(CallFailure::kRefused, 1), kThree);
    EXPECT_FALSE(is_suspect(attempts));
    attempts.after(died(failure, 2), kThree);
    EXPECT_TRUE(is_suspect(attempts));
  }
}

TEST(Attempts, SuspectNobodyForAConnectionThatDiedWhileItsEngineLives) {
  for (const CallFailure failure : kDeaths) {
    Attempts attempts;
    for (int i = 0; i < 2; ++i) attempts.after(failed(failure), kThree);
    EXPECT_FALSE(is_suspect(attempts)) << to_string(failure);
  }
}

TEST(Attempts, SuspectNobodyForOtherFailures) {
  for (const CallFailure failure :
       {CallFailure::kNone, CallFailure::kRefused, CallFailure::kUnreachable,
        CallFailure::kBadAnswer, CallFailure::kWrongCount, CallFailure::kTimedOut,
        CallFailure::kStuck, CallFailure::kAborted}) {
    Attempts attempts;
    for (int i = 0; i < 2; ++i) attempts.after(died(failure), kThree);
    EXPECT_FALSE(is_suspect(attempts)) << to_string(failure);
    EXPECT_FALSE(may_be_death(failure, 0));
  }
}

TEST(Attempts, BlameARequestOnlyForAnEngineThatItHadToItselfAndThatIsDown) {
  for (const CallFailure failure : kDeaths) {
    for (const bool went_down : {false, true}) {
      Attempts attempts;
      attempts.after(died(failure, 0), kThree);
      attempts.after(died(failure, 1), kThree);
      Attempt last{.backend = 2, .failure = failure, .alone = true, .went_down = went_down};
      EXPECT_EQ(attempts.after(last, kThree), went_down ? Next::kPoison : Next::kDeliver);
      Attempts in_company;
      in_company.after(died(failure, 0), kThree);
      in_company.after(died(failure, 1), kThree);
      last.alone = false;
      EXPECT_NE(in_company.after(last, kThree), Next::kPoison);
    }
  }
}

TEST(Attempts, AskABareErrorOnlyOfOneThatHasNotGivenIt) {
  Attempts attempts;
  EXPECT_EQ(attempts.after(failed(CallFailure::kBareError, 0), BackendSet::first(2)),
            Next::kRetryInBudget);
  EXPECT_EQ(attempts.after(failed(CallFailure::kBareError, 1), BackendSet::first(2)),
            Next::kDeliver);
  EXPECT_EQ(attempts.failed_by(), BackendSet::first(2));
}

TEST(Attempts, AskElsewhereAtNoCostWhenTheEngineStandsStill) {
  Attempts attempts;
  EXPECT_EQ(attempts.after(failed(CallFailure::kStuck, 0), kThree), Next::kRetry);
  EXPECT_TRUE(next_ticket(attempts).avoid.contains(0));
}

TEST(Attempts, BlameNobodyForADifferentEndWhileAlone) {
  for (const CallFailure failure :
       {CallFailure::kRefused, CallFailure::kUnreachable, CallFailure::kBadAnswer,
        CallFailure::kWrongCount, CallFailure::kTimedOut, CallFailure::kAborted}) {
    Attempts attempts;
    const Attempt last{.failure = failure, .alone = true, .went_down = true};
    EXPECT_NE(attempts.after(last, kThree), Next::kPoison) << to_string(failure);
  }
}

TEST(Attempts, TryABadAnswerOnceMoreIfTheBudgetAllows) {
  for (const CallFailure failure : kBad) {
    Attempts attempts;
    EXPECT_EQ(attempts.after(failed(failure, 0), kThree), Next::kRetryInBudget);
    EXPECT_EQ(attempts.after(failed(failure, 1), kThree), Next::kDeliver);
    Attempts after_death;
    after_death.after(failed(CallFailure::kNoAnswer, 0), kThree);
    EXPECT_EQ(after_death.after(failed(failure, 1), kThree), Next::kDeliver);
  }
}

TEST(Attempts, TryATimeoutAgainIfTheBudgetAllowsThreeTimesInAll) {
  Attempts attempts;
  EXPECT_EQ(attempts.after(failed(CallFailure::kTimedOut, 0), kThree), Next::kRetryInBudget);
  EXPECT_EQ(attempts.after(failed(CallFailure::kTimedOut, 1), kThree), Next::kRetryInBudget);
  EXPECT_EQ(attempts.after(failed(CallFailure::kTimedOut, 2), kThree), Next::kDeliver);
}

TEST(Attempts, TryNothingAgainWithoutTime) {
  for (std::size_t i = 0; i < kCallFailures; ++i) {
    const auto failure = static_cast<CallFailure>(i);
    Attempts attempts;
    EXPECT_EQ(attempts.after(late(failed(failure)), kThree), Next::kDeliver) << to_string(failure);
  }
  Attempts attempts;
  EXPECT_EQ(attempts.after(late(answered(500)), kThree), Next::kDeliver);
  EXPECT_EQ(attempts.after(late(asked_to_wait(429)), kThree), Next::kDeliver);
}

TEST(Attempts, TryNothingAgainThatWeEnded) {
  Attempts attempts;
  EXPECT_EQ(attempts.after(failed(CallFailure::kAborted), kThree), Next::kDeliver);
}

TEST(Attempts, ShareOneLimitAmongAllKindsOfFailure) {
  Attempts attempts;
  EXPECT_EQ(attempts.after(answered(500, 0), kThree), Next::kRetryInBudget);
  EXPECT_EQ(attempts.after(failed(CallFailure::kTimedOut, 1), kThree), Next::kRetryInBudget);
  EXPECT_EQ(attempts.after(failed(CallFailure::kNoAnswer, 2), kThree), Next::kDeliver);
  EXPECT_EQ(attempts.made(), 3u);
}

TEST(Attempts, CountAStreamThatHasBegun) {
  Attempts attempts;
  attempts.on_stream();
  EXPECT_EQ(attempts.made(), 1u);
}

TEST(Attempts, SendTheNextTryElsewhereAndInNoSharedCall) {
  Attempts attempts;
  attempts.after(failed(CallFailure::kNoAnswer, 0), kThree);
  attempts.after(failed(CallFailure::kRefused, 2), kThree);
  for (const bool costs_budget : {false, true}) {
    Ticket ticket;
    ticket.mergeable = Mergeable::kCompletion;
    attempts.prepare_retry(ticket, costs_budget);
    EXPECT_TRUE(ticket.avoid.contains(0));
    EXPECT_FALSE(ticket.avoid.contains(1));
    EXPECT_TRUE(ticket.avoid.contains(2));
    EXPECT_EQ(ticket.mergeable, Mergeable::kNever);
    EXPECT_EQ(ticket.costs_budget, costs_budget);
  }
}

TEST(TellsOfDeath, KnowsWhatADyingVllmSaysInAShort500Only) {
  EXPECT_TRUE(tells_of_death(500, "EngineCore encountered an issue. See stack trace (above)"));
  EXPECT_TRUE(tells_of_death(500, R"({"error":{"type":"EngineDeadError"}})"));
  EXPECT_FALSE(tells_of_death(500, "Internal Server Error"));
  EXPECT_FALSE(tells_of_death(500, R"({"error":{"message":"no tool named EngineDeadError"}})"));
  EXPECT_FALSE(tells_of_death(500, R"({"error":{"message":"no \"EngineDeadError\" here"}})"));
  EXPECT_FALSE(tells_of_death(400, "EngineDeadError"));
  EXPECT_FALSE(tells_of_death(500, std::string(16 << 10, ' ') + "EngineDeadError"))
      << "so long an answer quotes the request";
}

TEST(MayBeDeath, IsADeadConnectionOrAPlain500) {
  for (const CallFailure failure : kDeaths) EXPECT_TRUE(may_be_death(failure, 0));
  EXPECT_TRUE(may_be_death(CallFailure::kNone, 500));
  for (const unsigned status : {200u, 400u, 429u, 502u, 503u}) {
    EXPECT_FALSE(may_be_death(CallFailure::kNone, status)) << status;
  }
}

TEST(OutcomeOf, TellsTheBreakerWhatAnAnswerSaysAboutItsBackend) {
  for (const unsigned status : {200u, 204u, 302u, 399u}) {
    EXPECT_EQ(outcome_of(answered(status)), Outcome::kGood) << status;
  }
  for (const unsigned status : {400u, 404u, 499u}) {
    EXPECT_EQ(outcome_of(answered(status)), Outcome::kRejected) << status;
  }
  for (const unsigned status : {500u, 502u, 599u}) {
    EXPECT_EQ(outcome_of(answered(status)), Outcome::kServerError) << status;
  }
  for (const unsigned status : {429u, 503u}) {
    EXPECT_EQ(outcome_of(full(status)), Outcome::kFull) << status;
    EXPECT_EQ(outcome_of(asked_to_wait(status)), Outcome::kRejected)
        << "one that says when to come again is well";
  }
}

TEST(OutcomeOf, TellsTheBreakerWhatEachFailureSaysAboutItsBackend) {
  const auto of = [](CallFailure failure) { return outcome_of(failed(failure)); };
  for (const CallFailure failure : {CallFailure::kRefused, CallFailure::kUnreachable,
                                    CallFailure::kNoAnswer, CallFailure::kCutAnswer}) {
    EXPECT_EQ(of(failure), Outcome::kLost) << to_string(failure);
  }
  for (const CallFailure failure :
       {CallFailure::kBareError, CallFailure::kBadAnswer, CallFailure::kWrongCount}) {
    EXPECT_EQ(of(failure), Outcome::kServerError) << to_string(failure);
  }
  EXPECT_EQ(of(CallFailure::kTimedOut), Outcome::kTimedOut);
  EXPECT_EQ(of(CallFailure::kAborted), Outcome::kUnknown);
  EXPECT_EQ(of(CallFailure::kStuck), Outcome::kUnknown) << "the watch has told already";
}

TEST(OutcomeOf, TellsOfAnEngineThatHasEndedHoweverThatShowed) {
  for (const CallFailure failure : kDeaths) EXPECT_EQ(outcome_of(died(failure)), Outcome::kDied);
  Attempt told = answered(500);
  told.went_down = true;
  EXPECT_EQ(outcome_of(told), Outcome::kDied);
}

TEST(OutcomeOf, TellsNothingAgainstABackendOfARequestsOwnDeadline) {
  EXPECT_EQ(outcome_of(late(failed(CallFailure::kTimedOut))), Outcome::kExpired);
}

}  // namespace
}  // namespace batchproxy
