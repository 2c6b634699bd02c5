// tests/backends/attempts_test.cc - what becomes of a request after each try, and what a try tells
// about its backend.
#include "backends/attempts.h"

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

Attempt late(Attempt attempt) {
  attempt.time_left = false;
  return attempt;
}

constexpr CallFailure kDeaths[] = {CallFailure::kNoAnswer, CallFailure::kCutAnswer,
                                   CallFailure::kBareError};
constexpr CallFailure kUnsent[] = {CallFailure::kRefused, CallFailure::kUnreachable};
constexpr CallFailure kBad[] = {CallFailure::kBadAnswer, CallFailure::kWrongCount};

TEST(Attempts, DeliverAnAnswerThatIsNoServerError) {
  for (const unsigned status : {200u, 201u, 301u, 400u, 404u, 422u, 429u, 499u}) {
    Attempts attempts;
    EXPECT_EQ(attempts.after(answered(status), kThree), Next::kDeliver) << status;
    EXPECT_EQ(attempts.made(), 1u);
  }
}

TEST(Attempts, AskAnotherBackendAboutAServerErrorIfTheBudgetAllows) {
  for (const unsigned status : {500u, 502u, 503u, 599u}) {
    Attempts attempts;
    EXPECT_EQ(attempts.after(answered(status, 0), kThree), Next::kRetryInBudget) << status;
    EXPECT_EQ(attempts.after(answered(status, 1), kThree), Next::kRetryInBudget) << status;
    EXPECT_EQ(attempts.after(answered(status, 2), kThree), Next::kDeliver) << status;
    EXPECT_FALSE(is_suspect(attempts));
  }
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

TEST(Attempts, SendAgainWhatAConnectionDiedUnderThreeTimesInAll) {
  for (const CallFailure failure : kDeaths) {
    Attempts attempts;
    // Elsewhere or not: with one backend it waits until that one is back.
    EXPECT_EQ(attempts.after(failed(failure), BackendSet::first(1)), Next::kRetry);
    EXPECT_EQ(attempts.after(failed(failure), BackendSet::first(1)), Next::kRetry);
    EXPECT_EQ(attempts.after(failed(failure), BackendSet::first(1)), Next::kDeliver);
    EXPECT_EQ(attempts.made(), 3u);
  }
}

TEST(Attempts, SuspectARequestFromItsSecondDeathOn) {
  for (const CallFailure failure : kDeaths) {
    Attempts attempts;
    attempts.after(failed(failure, 0), kThree);
    EXPECT_FALSE(is_suspect(attempts));
    attempts.after(failed(CallFailure::kRefused, 1), kThree);
    EXPECT_FALSE(is_suspect(attempts));
    attempts.after(failed(failure, 2), kThree);
    EXPECT_TRUE(is_suspect(attempts));
  }
}

TEST(Attempts, SuspectNobodyForOtherFailures) {
  for (const CallFailure failure :
       {CallFailure::kNone, CallFailure::kRefused, CallFailure::kUnreachable,
        CallFailure::kBadAnswer, CallFailure::kWrongCount, CallFailure::kTimedOut,
        CallFailure::kAborted}) {
    Attempts attempts;
    for (int i = 0; i < 3; ++i) attempts.after(failed(failure), kThree);
    EXPECT_FALSE(is_suspect(attempts)) << to_string(failure);
    EXPECT_FALSE(is_death(failure));
  }
}

TEST(Attempts, BlameARequestOnlyForAnEngineThatItHadToItselfAndThatIsDown) {
  for (const CallFailure failure : kDeaths) {
    for (const bool alone : {false, true}) {
      for (const bool went_down : {false, true}) {
        Attempts attempts;
        attempts.after(failed(failure, 0), kThree);
        attempts.after(failed(failure, 1), kThree);
        const Attempt last{
            .backend = 2, .failure = failure, .alone = alone, .went_down = went_down};
        EXPECT_EQ(attempts.after(last, kThree),
                  alone && went_down ? Next::kPoison : Next::kDeliver);
      }
    }
  }
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
    ticket.packing = Packing::kCompletion;
    attempts.prepare_retry(ticket, costs_budget);
    EXPECT_TRUE(ticket.avoid.contains(0));
    EXPECT_FALSE(ticket.avoid.contains(1));
    EXPECT_TRUE(ticket.avoid.contains(2));
    EXPECT_EQ(ticket.packing, Packing::kNever);
    EXPECT_EQ(ticket.costs_budget, costs_budget);
  }
}

TEST(OutcomeOf, TellsTheBreakerWhatAnAnswerSaysAboutItsBackend) {
  for (const unsigned status : {200u, 204u, 302u, 399u}) {
    EXPECT_EQ(outcome_of(CallFailure::kNone, status, false), Outcome::kGood) << status;
  }
  for (const unsigned status : {400u, 404u, 429u, 499u}) {
    EXPECT_EQ(outcome_of(CallFailure::kNone, status, false), Outcome::kRejected) << status;
  }
  for (const unsigned status : {500u, 503u, 599u}) {
    EXPECT_EQ(outcome_of(CallFailure::kNone, status, false), Outcome::kServerError) << status;
  }
  for (const unsigned status : {429u, 503u}) {
    EXPECT_EQ(outcome_of(CallFailure::kNone, status, true), Outcome::kRejected)
        << "one that says when to come again is well";
  }
}

TEST(OutcomeOf, TellsTheBreakerWhatEachFailureSaysAboutItsBackend) {
  const auto of = [](CallFailure failure) { return outcome_of(failure, 0, false); };
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
}

}  // namespace
}  // namespace batchproxy
