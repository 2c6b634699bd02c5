// proxy/decisions/decision_wire.h - the bodies that a decision writes: what the engine is asked at
// /v1/completions, and the answer to the client.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/decisions/choice_scores.h"
#include "proxy/decisions/decision_request.h"

namespace batchproxy {

// One prompt: the context. All choices are looked for among the likeliest tokens behind it.
std::string next_token_body(const DecisionRequest& request, const DecisionQuestion& question);

// A prompt for each choice: the context with it. `continuations_size()` is about its bytes.
std::string continuations_body(const DecisionRequest& request, const DecisionQuestion& question);
std::size_t continuations_size(const DecisionRequest& request, const DecisionQuestion& question);

// What is known of a question in the end.
struct DecidedQuestion {
  DecisionMethod method = DecisionMethod::kNextToken;
  std::vector<ChoiceScore> scores{};  // one for each choice
};

// The answer in OpenAI's shape, with a few fields more. `decided`: one for each question.
std::string decision_json(const DecisionRequest& request, std::string_view model,
                          const std::vector<DecidedQuestion>& decided, const DecisionUsage& usage);

}  // namespace batchproxy
