// proxy/decisions/decision_wire.cc - see decision_wire.h.
#include "proxy/decisions/decision_wire.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace batchproxy {

namespace {

// As many alternatives as vLLM gives unless it is told otherwise (--max-logprobs).
constexpr std::size_t kAlternatives = 20;

std::string quoted(std::string_view text) {
  return boost::json::serialize(boost::json::string_view(text));
}

std::string model_field(const DecisionRequest& request) {
  return request.model.empty() ? "" : fmt::format(R"("model":{},)", quoted(request.model));
}

// --- the answer ---------------------------------------------------------------------------------

// Its choices' probabilities add up to 1.
std::vector<double> softmax(const std::vector<ChoiceScore>& scores) {
  const double top = std::ranges::max(scores, {}, &ChoiceScore::logprob).logprob;
  std::vector<double> weights;
  double sum = 0;
  for (const ChoiceScore& score : scores) {
    weights.push_back(std::exp(score.logprob - top));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

// By how much the likeliest leads the next.
double margin_of(std::vector<double> probabilities) {
  std::ranges::partial_sort(probabilities, probabilities.begin() + 2, std::greater<>{});
  return probabilities[0] - probabilities[1];
}

// The expected level.
double expected(const std::vector<double>& probabilities) {
  double sum = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    sum += static_cast<double>(i) * probabilities[i];
  }
  return sum;
}

std::string choice_json(const DecisionChoice& choice, const ChoiceScore& score,
                        double probability) {
  const std::string label = choice.label.empty() ? "" : fmt::format(R"("label":{},)", choice.label);
  return fmt::format(R"({{{}"value":{},"probability":{},"logprob":{},"tokens":{}}})", label,
                     choice.value, probability, score.logprob, score.tokens);
}

// What only this type of question is told.
std::string verdict_json(const DecisionQuestion& question, const std::vector<double>& probabilities,
                         const DecidedQuestion& decided) {
  using Type = DecisionQuestion::Type;
  if (question.type == Type::kPredicate) {
    return fmt::format(R"("type":"predicate","probability":{})", probabilities.front());
  }
  const auto best = std::ranges::max_element(decided.scores, {}, &ChoiceScore::logprob);
  const auto at = static_cast<std::size_t>(best - decided.scores.begin());
  const double confidence = std::exp(best->logprob);
  if (question.type == Type::kScore) {
    return fmt::format(R"("type":"score","score":{},"confidence":{})", expected(probabilities),
                       confidence);
  }
  return fmt::format(R"("type":"choice","choice":{},"confidence":{})", question.choices[at].value,
                     confidence);
}

std::string answer_json(const DecisionQuestion& question, const DecidedQuestion& decided) {
  const std::vector<double> probabilities = softmax(decided.scores);
  std::string choices;
  for (std::size_t i = 0; i < question.choices.size(); ++i) {
    if (i > 0) choices += ',';
    choices += choice_json(question.choices[i], decided.scores[i], probabilities[i]);
  }
  return fmt::format(R"({{{},"name":{},"probabilities":[{}],"margin":{},"method":"{}"}})",
                     verdict_json(question, probabilities, decided), question.name, choices,
                     margin_of(probabilities), to_string(decided.method));
}

std::string usage_json(const DecisionUsage& usage) {
  return fmt::format(
      R"({{"input_tokens":{},"input_tokens_details":{{"cache_write_tokens":0,"cached_tokens":{}}},)"
      R"("output_tokens":{},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}})",
      usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens,
      usage.prompt_tokens + usage.completion_tokens);
}

}  // namespace

std::string next_token_body(const DecisionRequest& request, const DecisionQuestion& question) {
  return fmt::format(R"({{{}"prompt":{},"max_tokens":1,"temperature":0,"logprobs":{}}})",
                     model_field(request), quoted(request.input + question.context), kAlternatives);
}

std::string continuations_body(const DecisionRequest& request, const DecisionQuestion& question) {
  std::string begin = quoted(request.input + question.context);
  begin.pop_back();  // its closing quote
  std::string prompts;
  for (const DecisionChoice& choice : question.choices) {
    if (!prompts.empty()) prompts += ',';
    prompts.append(begin).append(std::string_view(quoted(choice.text)).substr(1));
  }
  return fmt::format(
      R"({{{}"prompt":[{}],"max_tokens":1,"temperature":0,"logprobs":1,"echo":true}})",
      model_field(request), prompts);
}

std::size_t continuations_size(const DecisionRequest& request, const DecisionQuestion& question) {
  const std::size_t context = request.input.size() + question.context.size();
  std::size_t size = 0;
  for (const DecisionChoice& choice : question.choices) size += context + choice.text.size();
  return size;
}

std::string decision_json(const DecisionRequest& request, std::string_view model,
                          const std::vector<DecidedQuestion>& decided, const DecisionUsage& usage) {
  std::string answers;
  for (std::size_t i = 0; i < decided.size(); ++i) {
    if (i > 0) answers += ',';
    answers += answer_json(request.questions[i], decided[i]);
  }
  return fmt::format(R"({{"answers":[{}],"model":{},"usage":{}}})", answers,
                     quoted(model.empty() ? std::string_view(request.model) : model),
                     usage_json(usage));
}

}  // namespace batchproxy
