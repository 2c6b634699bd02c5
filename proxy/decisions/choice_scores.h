// proxy/decisions/choice_scores.h - what an answer of /v1/completions tells of choices: how likely
// each is behind its context.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/decisions/decision_request.h"

namespace batchproxy {

struct ChoiceScore {
  double logprob = 0;        // natural logarithm: of its token, or the sum of its tokens'
  std::uint32_t tokens = 0;  // that it has behind the context
};

struct DecisionUsage {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  std::uint64_t cached_tokens = 0;  // of the prompt's

  DecisionUsage& operator+=(const DecisionUsage& other);
};

struct ScoredChoices {
  std::vector<ChoiceScore> scores{};  // one for each choice, in order; none: it does not tell
  bool has_logprobs = false;          // of any token
  DecisionUsage usage{};
  std::string model{};
};

// The alternatives for the one token that was generated: each choice must be exactly one of them.
ScoredChoices read_next_token(std::string_view body, const std::vector<DecisionChoice>& choices);

// An echoed prompt for each choice, which ends with it, and at most one generated token. Counted
// are the tokens that end behind the context, as lm-eval's loglikelihood does. The choice's place
// is measured from the prompt's end: engines put tokens of their own before its beginning.
ScoredChoices read_continuations(std::string_view body, const std::vector<DecisionChoice>& choices);

// What an engine's error says, shortened; empty if that cannot be told.
std::string message_in(std::string_view body);

}  // namespace batchproxy
