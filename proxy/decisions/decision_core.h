// proxy/decisions/decision_core.h - DecisionCore: how a decision is computed from completions,
// question by question: what to ask next, and what follows from each answer.
//
//   next_token ──▶ each choice is an alternative ───────────────▶ decided
//        └───────▶ not all are, or it is refused ─▶ continuations ─┴─▶ decided, or an error
//
// It does nothing itself: DecidedRequest asks, and tells it the answers.
//
// Threading: confined to the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "batcher/base/error.h"
#include "proxy/decisions/decision_request.h"
#include "proxy/decisions/decision_wire.h"

namespace batchproxy {

class DecisionCore {
 public:
  enum class Do {
    kAsk,     // text() at /v1/completions, as one call to one engine
    kAnswer,  // the client: text()
    kPassOn,  // the engine's answer, as it is
    kRefuse,  // with error()
  };

  // `max_body`: bytes that a call may have.
  DecisionCore(DecisionRequest request, std::uint64_t max_body)
      : request_(std::move(request)), max_body_(max_body) {}

  Do begin() { return begin_question(); }
  // To what was asked last.
  Do on_answer(unsigned status, std::string_view body);

  const std::string& text() const { return text_; }
  const Error& error() const { return *error_; }

 private:
  Do begin_question();
  Do ask(DecisionMethod method);
  Do take(std::string_view body);
  Do on_untold(bool has_logprobs);
  Do on_refused(unsigned status, std::string_view body);
  Do refuse(Error error);
  const DecisionQuestion& question() const { return request_.questions[decided_.size()]; }

  const DecisionRequest request_;
  const std::uint64_t max_body_;
  DecisionMethod method_ = DecisionMethod::kNextToken;  // of what was asked last
  bool refused_before_ = false;                         // this question's next token was
  std::vector<DecidedQuestion> decided_;
  DecisionUsage usage_;
  std::string model_;  // as the engine calls it
  std::string text_;
  std::optional<Error> error_;
};

// Whether this answer to POST /v1/decisions says that the engine has no such path, or cannot do
// with this model what it is for.
bool lacks_decisions(unsigned status);
// The error for who wants no other method than that.
Error no_decisions_of_its_own();

}  // namespace batchproxy
