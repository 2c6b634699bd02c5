// backends/sim/model/logprobs.h - log-probabilities in the two shapes of OpenAI's API. They depend
// on all tokens before, so a token's is computed from the hash of the sequence that it ends.
//
// Threading: confined to the caller.
#pragma once

#include <cstdint>
#include <span>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "backends/sim/model/tokenizer.h"

namespace batchproxy::sim {

// The hash of a sequence with one more token, and of a whole one.
std::uint64_t extend_hash(std::uint64_t hash, Token token);
std::uint64_t hash_of(std::span<const Token> tokens);

// The legacy shape of /v1/completions: four lists of equal length.
class CompletionLogprobs {
 public:
  // `offset`: code points of the text before the first token.
  CompletionLogprobs(int alternatives, std::int64_t offset)
      : alternatives_(alternatives), offset_(offset) {}

  // `hash` is that of the sequence up to and including `token`.
  void add(Token token, std::uint64_t hash);

  // All tokens of a prompt. Nothing comes before its first, so that one has no probability.
  void add_prompt(std::span<const Token> prompt);

  boost::json::object take();

 private:
  void add_text(const std::string& text);

  const int alternatives_;
  std::int64_t offset_;
  boost::json::array tokens_, values_, top_, offsets_;
};

// vLLM's own `prompt_logprobs`: null for the first token, then {id: {logprob, rank,
// decoded_token}}.
boost::json::array prompt_logprobs(std::span<const Token> prompt, int alternatives);

// One entry of a chat's `logprobs.content`.
boost::json::object chat_logprob(Token token, std::uint64_t hash, int alternatives);

std::int64_t code_points(std::string_view text);

}  // namespace batchproxy::sim
