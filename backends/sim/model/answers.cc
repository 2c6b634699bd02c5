// backends/sim/model/answers.cc - finding the question, and making up an answer to it.
#include "backends/sim/model/answers.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include <openssl/evp.h>

#include "backends/sim/model/hash.h"

namespace batchproxy::sim {
namespace {

constexpr int kLongestChoiceAnswer = 16;
constexpr double kMedianWords = 130;
constexpr double kSpread = 0.5;

// One token each: at most six lower-case letters after the blank.
constexpr std::string_view kWords[] = {
    " the",   " cell", " is",     " of",     " and",   " dose", " in",     " a",
    " that",  " to",   " with",   " gene",   " as",    " by",   " levels", " are",
    " from",  " data", " when",   " rates",  " shown", " high", " low",    " was",
    " model", " both", " under",  " more",   " than",  " less", " time",   " which",
    " after", " for",  " normal", " tissue", " this",  " it",   " study",  " first"};

struct Options {
  std::string labels;
  std::size_t question = 0;  // where the question part of the prompt begins
};

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::size_t line_start(std::string_view text, std::size_t at) {
  const std::size_t newline = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
  return newline == std::string_view::npos ? 0 : newline + 1;
}

// The label of an option that begins at `at`, or 0.
char label_at(std::string_view text, std::size_t at, bool begins_line) {
  const auto get = [text](std::size_t i) { return i < text.size() ? text[i] : '\0'; };
  const bool bracket = get(at) == '(';
  const char label = get(at + bracket);
  const char after = get(at + bracket + 1);
  const bool is_label = (label >= 'A' && label <= 'J') || (label >= '1' && label <= '9');
  if (!is_label) return 0;
  if (bracket) return after == ')' ? label : '\0';
  const char next = get(at + 2);
  const bool closes =
      after == ')' || ((after == '.' || after == ':') && (next == ' ' || next == '\n'));
  return begins_line && closes ? label : '\0';
}

// The last list of labels that begins with A or 1 and counts up; few-shot examples come earlier.
Options find_options(std::string_view prompt) {
  Options options;
  std::size_t first_option = 0;
  bool begins_line = true;
  for (std::size_t at = 0; at < prompt.size(); ++at) {
    const char c = prompt[at];
    const bool after_word = at > 0 && std::isalnum(static_cast<unsigned char>(prompt[at - 1]));
    if (const char label = after_word ? '\0' : label_at(prompt, at, begins_line); label != 0) {
      if (label == 'A' || label == '1') {
        options.labels = label;
        first_option = at;
      } else if (!options.labels.empty() && label == options.labels.back() + 1) {
        options.labels += label;
      }
    }
    begins_line = c == '\n' || (begins_line && (c == ' ' || c == '\t'));
  }
  if (options.labels.size() < 2) return {};

  const std::size_t marker = lower(prompt.substr(0, first_option)).rfind("question");
  const std::size_t line = line_start(prompt, first_option);
  options.question =
      marker != std::string::npos ? marker : line_start(prompt, line > 0 ? line - 1 : 0);
  const std::string question = lower(prompt.substr(options.question));
  constexpr std::string_view kAsks[] = {"answer", "choose", "select", "correct", "which", "?"};
  const bool asks = std::ranges::any_of(
      kAsks, [&](std::string_view word) { return question.find(word) != std::string::npos; });
  return asks ? options : Options{};
}

std::string sha256_digits(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("libcrypto has no SHA-256");
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (std::size_t i = 0; i < 8; ++i) {
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 15];
  }
  return hex;
}

int free_length(std::uint64_t hash) {
  const double u = 1.0 - unit_interval(mix(hash, 1));
  const double v = unit_interval(mix(hash, 2));
  const double normal = std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  return std::max(1, static_cast<int>(kMedianWords * std::exp(kSpread * normal)));
}

// Everything a model would say before it ends by itself, or `most` tokens of it.
std::vector<Token> natural_answer(AnswerMode mode, const AnswerRequest& request, int most,
                                  bool& ended) {
  std::vector<Token> tokens;
  std::uint64_t hash = kHashStart;
  int length = 0;
  if (mode == AnswerMode::kSha256) {
    tokens = tokenize(sha256_digits(request.prompt));
    length = static_cast<int>(tokens.size());
  } else {
    const Options options = find_options(request.prompt);
    hash = hash_text(request.prompt.substr(options.question));
    hash = mix(hash, static_cast<std::uint64_t>(request.choice));
    if (request.seed) hash = mix(hash, static_cast<std::uint64_t>(*request.seed));
    length = free_length(hash);
    if (!options.labels.empty()) {
      const std::string label(1, options.labels[mix(hash, 3) % options.labels.size()]);
      tokens = tokenize(request.chat ? label : " " + label);
      length = 1 + static_cast<int>(mix(hash, 4) % kLongestChoiceAnswer);
    }
  }
  length = std::max(length, request.min_tokens);
  if (request.ignore_eos) length = most;
  ended = length < most;  // the end of an answer needs room for a token too
  length = std::min(length, most);
  while (std::ssize(tokens) < length) {
    std::string_view word = kWords[mix(hash, 16 + tokens.size()) % std::size(kWords)];
    if (tokens.empty() && request.chat) word.remove_prefix(1);
    tokens.push_back(tokenize(word).front());
  }
  tokens.resize(static_cast<std::size_t>(length));
  return tokens;
}

// Ends the answer with the token that completes the first stop string; its text ends before it.
void cut_at_stop(Answer& result, const std::vector<std::string>& stop) {
  const std::string text = result.text();
  std::size_t cut = std::string::npos;
  std::size_t end = 0;
  for (const std::string& word : stop) {
    const std::size_t at = word.empty() ? std::string::npos : text.find(word);
    if (at < cut) {
      cut = at;
      end = at + word.size();
      result.stopped_by = word;
    }
  }
  if (cut == std::string::npos) return;
  std::size_t begin = 0;
  std::size_t kept = 0;
  for (std::string& piece : result.pieces) {
    if (begin >= end) break;
    ++kept;
    const std::size_t size = piece.size();
    piece.resize(std::min(size, cut - std::min(cut, begin)));
    begin += size;
  }
  result.pieces.resize(kept);
  result.tokens.resize(kept);
  result.finish_reason = FinishReason::kStop;
}

}  // namespace

std::string Answer::text() const {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

Answer answer(AnswerMode mode, const AnswerRequest& request) {
  Answer result;
  bool ended = false;
  result.tokens = natural_answer(mode, request, request.max_tokens, ended);
  result.finish_reason = ended ? FinishReason::kStop : FinishReason::kLength;
  for (const Token token : result.tokens) result.pieces.push_back(token_text(token));
  cut_at_stop(result, request.stop);
  return result;
}

std::string option_labels(std::string_view prompt) {
  return find_options(prompt).labels;
}

double log_probability(std::uint64_t sequence_hash) {
  return -4.0 * unit_interval(mix(sequence_hash, 5));
}

}  // namespace batchproxy::sim
