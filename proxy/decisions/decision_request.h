// proxy/decisions/decision_request.h - DecisionRequest: what a body of POST /v1/decisions asks, as
// texts: how likely does the model find each choice behind its context?
//
// The context is raw text, which no chat template changes. Without instructions and descriptions it
// is the input alone, and the choices follow it as they are; docs/DECISIONS.md has the other
// layout. Blanks at the end of the input are moved to the choices, as tokens begin with a blank.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "batcher/base/error.h"

namespace batchproxy {

enum class DecisionMethod {
  kAny,            // the first of these that will do
  kEngine,         // the engine answers the request itself
  kNextToken,      // each choice is one of the tokens that may come next
  kContinuations,  // each choice is read behind the context
};

// Its word on the wire; empty for kAny.
std::string_view to_string(DecisionMethod method);

// One of the texts that are weighed against each other.
struct DecisionChoice {
  std::string text{};   // as it stands behind the context
  std::string value{};  // for the answer, as JSON: a string, true, false, or a level's number
  std::string label{};  // of a level, as JSON
};

struct DecisionQuestion {
  enum class Type { kPredicate, kChoice, kScore };
  Type type = Type::kChoice;
  std::string name = "null";  // as JSON
  std::string context{};      // what stands behind the input
  std::vector<DecisionChoice> choices{};
};

struct DecisionRequest {
  std::string model{};  // empty: the engine's default
  std::string input{};
  DecisionMethod method = DecisionMethod::kAny;
  std::vector<DecisionQuestion> questions{};
};

// What is wrong with it, else, names the field in `param`.
Result<DecisionRequest> parse_decision(std::string_view body);

// Of a body that may be anything: kAny, if it does not say.
DecisionMethod method_asked_for(std::string_view body);

}  // namespace batchproxy
