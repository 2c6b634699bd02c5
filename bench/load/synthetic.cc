// bench/load/synthetic.cc - see synthetic.h.
#include "bench/load/synthetic.h"

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace batchproxy::bench {

namespace {

constexpr std::array<std::string_view, 32> kWords{
    "time",    "year",     "people", "way",    "day",   "man",    "thing",   "woman",
    "life",    "child",    "world",  "school", "state", "family", "group",   "country",
    "problem", "hand",     "part",   "place",  "case",  "week",   "company", "system",
    "program", "question", "work",   "number", "night", "point",  "home",    "water"};

std::string words(int count, std::mt19937_64& random) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    if (i > 0) text += ' ';
    text += kWords[random() % kWords.size()];
  }
  return text;
}

}  // namespace

std::vector<ReadyQuestion> make_synthetic(const SyntheticOptions& options, const Manner& manner) {
  if (options.shared_tokens >= options.prompt_tokens) {
    throw UnusableWorkload(
        fmt::format("--shared-tokens {} must be less than --prompt-tokens {}: the rest is what "
                    "differs",
                    options.shared_tokens, options.prompt_tokens));
  }
  std::mt19937_64 random(options.seed);
  std::vector<ReadyQuestion> questions;
  questions.reserve(options.questions);
  std::string shared;
  for (std::size_t i = 0; i < options.questions; ++i) {
    if (options.shared_tokens > 0 && i % std::max<std::size_t>(options.sharing, 1) == 0) {
      shared = words(options.shared_tokens, random) + "\\n";  // a line's end in JSON
    }
    const std::string prompt =
        shared + words(options.prompt_tokens - options.shared_tokens, random);
    const std::string text =
        options.chat ? fmt::format(R"("messages":[{{"role":"user","content":"{}"}}])", prompt)
                     : fmt::format(R"("prompt":"{}")", prompt);
    Question question;
    question.path = options.chat ? "/v1/chat/completions" : "/v1/completions";
    question.lacks_model = manner.defaults.model.empty();
    question.body = fmt::format(R"({{{},"temperature":0,"max_tokens":{},"ignore_eos":true}})", text,
                                options.output_tokens);
    if (!question.lacks_model) question.body = with_model(question, manner.defaults.model);
    questions.push_back(make_ready(question, manner));
  }
  return questions;
}

}  // namespace batchproxy::bench
