// backends/sim/model/answers.h - what the simulated model says: a pure function of the prompt and
// of the request's parameters, so that every engine, and every run, gives the same answer.
// Temperature and the other sampling parameters have no effect.
//
//   multiple choice   the letter (or number) of one of the offered options, then up to 15 tokens
//   more;
//                     which letter depends on the question and its options, not on the text before
//   anything else     plain words; the length is drawn from a log-normal distribution, median 130
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/sim/model/tokenizer.h"

namespace batchproxy::sim {

enum class AnswerMode : std::uint8_t {
  kLetters,
  kSha256,  // the first 16 hexadecimal digits of SHA-256(prompt): shows tests whose answer it is
};

enum class FinishReason : std::uint8_t { kStop, kLength };

struct AnswerRequest {
  std::string_view prompt;  // for a chat: the last message
  bool chat = false;        // the answer is a message of its own, so no blank leads it
  int max_tokens = 16;      // at least 1
  int min_tokens = 0;
  bool ignore_eos = false;  // go on until max_tokens
  int choice = 0;           // 0 .. n-1
  std::optional<std::int64_t> seed;
  std::vector<std::string> stop;
};

struct Answer {
  std::vector<Token> tokens;        // as many as the engine generates, at least 1
  std::vector<std::string> pieces;  // the text of each token, cut off before a stop string
  FinishReason finish_reason = FinishReason::kLength;
  std::string stopped_by;  // the stop string, if one ended it

  std::string text() const;
};

Answer answer(AnswerMode mode, const AnswerRequest& request);

// The labels of the last list of options in `prompt`, e.g. "ABCD" or "1234"; empty if there are
// fewer than two or nobody asks to choose. Options look like "(A) x", "A) x", "A. x" or "A: x" at
// the beginning of a line; "(A)" may stand anywhere.
std::string option_labels(std::string_view prompt);

// A log-probability (<= 0) for the token that ends a sequence with this hash.
double log_probability(std::uint64_t sequence_hash);

}  // namespace batchproxy::sim
