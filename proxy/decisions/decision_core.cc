// proxy/decisions/decision_core.cc - see decision_core.h.
#include "proxy/decisions/decision_core.h"

#include <utility>

#include <fmt/format.h>

namespace batchproxy {

namespace {

bool is_success(unsigned status) {
  return status >= 200 && status < 300;
}

// The engine refuses this request, and would refuse it again. llama.cpp answers 500 to `echo`.
bool is_refusal(unsigned status, std::string_view body) {
  return status == 400 || status == 422 || lacks_decisions(status) ||
         (status == 500 && body.find("echo") != std::string_view::npos);
}

Error cannot(std::string_view why) {
  return {Errc::kEngineLacksScores,
          fmt::format("This engine has no /v1/decisions of its own, and batchproxy cannot compute "
                      "the decision from its completions: {}.",
                      why)};
}

std::string said_in(std::string_view body, unsigned status) {
  std::string said = message_in(body);
  if (said.ends_with('.')) said.pop_back();
  return said.empty() ? fmt::format("it answers {}", status)
                      : fmt::format("it answers {}, \"{}\"", status, said);
}

}  // namespace

bool lacks_decisions(unsigned status) {
  return status == 404 || status == 405 || status == 501;
}

Error no_decisions_of_its_own() {
  return {
      Errc::kEngineLacksScores,
      "This engine has no /v1/decisions of its own. Leave `method` out, and batchproxy computes "
      "the decision from its completions.",
      "method"};
}

DecisionCore::Do DecisionCore::begin_question() {
  if (decided_.size() == request_.questions.size()) {
    text_ = decision_json(request_, model_, decided_, usage_);
    return Do::kAnswer;
  }
  refused_before_ = false;
  const bool at_once = request_.method == DecisionMethod::kContinuations;
  return ask(at_once ? DecisionMethod::kContinuations : DecisionMethod::kNextToken);
}

DecisionCore::Do DecisionCore::ask(DecisionMethod method) {
  method_ = method;
  if (method == DecisionMethod::kNextToken) {
    text_ = next_token_body(request_, question());
    return Do::kAsk;
  }
  if (continuations_size(request_, question()) > max_body_) {
    return refuse({Errc::kBodyTooLarge,
                   fmt::format("The input times the choices is larger than {} bytes "
                               "(batchproxy.max_body_bytes). Ask about fewer choices at once.",
                               max_body_)});
  }
  text_ = continuations_body(request_, question());
  return Do::kAsk;
}

DecisionCore::Do DecisionCore::on_answer(unsigned status, std::string_view body) {
  if (is_success(status)) return take(body);
  return is_refusal(status, body) ? on_refused(status, body) : Do::kPassOn;
}

DecisionCore::Do DecisionCore::take(std::string_view body) {
  const bool next_token = method_ == DecisionMethod::kNextToken;
  ScoredChoices scored = next_token ? read_next_token(body, question().choices)
                                    : read_continuations(body, question().choices);
  usage_ += scored.usage;
  model_ = std::move(scored.model);
  if (scored.scores.empty()) return on_untold(scored.has_logprobs);
  decided_.push_back({method_, std::move(scored.scores)});
  return begin_question();
}

// An answer, but not about each choice.
DecisionCore::Do DecisionCore::on_untold(bool has_logprobs) {
  if (method_ == DecisionMethod::kContinuations) {
    return refuse(cannot("it does not give the log-probabilities of a prompt's tokens (`echo`)"));
  }
  if (request_.method == DecisionMethod::kAny) return ask(DecisionMethod::kContinuations);
  if (!has_logprobs) return refuse(cannot("it gives no log-probabilities (`logprobs`)"));
  return refuse({Errc::kInvalidRequest,
                 "Not each choice is one of the 20 likeliest next tokens. Leave `method` out, or "
                 "ask for `continuations`.",
                 "method"});
}

DecisionCore::Do DecisionCore::on_refused(unsigned status, std::string_view body) {
  // Both methods ask at the same path.
  if (lacks_decisions(status)) return refuse(cannot(said_in(body, status)));
  const bool last =
      method_ == DecisionMethod::kContinuations || request_.method != DecisionMethod::kAny;
  if (!last) {
    refused_before_ = true;
    return ask(DecisionMethod::kContinuations);
  }
  // It takes one method and not the other: so the request as such is in order.
  const bool other_was_taken = request_.method == DecisionMethod::kAny && !refused_before_;
  return other_was_taken || status == 500 ? refuse(cannot(said_in(body, status))) : Do::kPassOn;
}

DecisionCore::Do DecisionCore::refuse(Error error) {
  error_ = std::move(error);
  return Do::kRefuse;
}

}  // namespace batchproxy
