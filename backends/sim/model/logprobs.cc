// backends/sim/model/logprobs.cc - see logprobs.h.
#include "backends/sim/model/logprobs.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backends/sim/model/answers.h"
#include "backends/sim/model/hash.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

// A token that the model "also considered" at this place.
std::string alternative(std::uint64_t hash, int rank) {
  std::string text = " ";
  for (std::uint64_t rest = mix(hash, static_cast<std::uint64_t>(rank)), i = 0; i < 4; ++i) {
    text += static_cast<char>('a' + rest % 26);
    rest /= 26;
  }
  return text;
}

double alternative_log_probability(double best, int rank) {
  return best - 1.5 * rank;
}

json::object chat_token(const std::string& text, double value) {
  json::array bytes;
  for (const char c : text) bytes.emplace_back(static_cast<unsigned char>(c));
  return {{"token", text}, {"logprob", value}, {"bytes", std::move(bytes)}};
}

}  // namespace

std::uint64_t extend_hash(std::uint64_t hash, Token token) {
  return mix(hash, static_cast<std::uint64_t>(token));
}

std::uint64_t hash_of(std::span<const Token> tokens) {
  std::uint64_t hash = kHashStart;
  for (const Token token : tokens) hash = extend_hash(hash, token);
  return hash;
}

std::int64_t code_points(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
}

void CompletionLogprobs::add(Token token, std::uint64_t hash) {
  const std::string text = valid_utf8(token_text(token));
  add_text(text);
  const double value = log_probability(hash);
  values_.emplace_back(value);
  json::object top{{text, value}};
  for (int rank = 1; rank < alternatives_; ++rank) {
    top[alternative(hash, rank)] = alternative_log_probability(value, rank);
  }
  top_.emplace_back(std::move(top));
}

void CompletionLogprobs::add_prompt(std::span<const Token> prompt) {
  std::uint64_t hash = kHashStart;
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    hash = extend_hash(hash, prompt[i]);
    if (i > 0) {
      add(prompt[i], hash);
      continue;
    }
    add_text(valid_utf8(token_text(prompt[i])));
    values_.emplace_back(nullptr);
    top_.emplace_back(nullptr);
  }
}

void CompletionLogprobs::add_text(const std::string& text) {
  tokens_.emplace_back(text);
  offsets_.emplace_back(offset_);
  offset_ += code_points(text);
}

json::object CompletionLogprobs::take() {
  return {{"text_offset", std::move(offsets_)},
          {"token_logprobs", std::move(values_)},
          {"tokens", std::move(tokens_)},
          {"top_logprobs", std::move(top_)}};
}

json::array prompt_logprobs(std::span<const Token> prompt, int alternatives) {
  json::array entries;
  std::uint64_t hash = kHashStart;
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    hash = extend_hash(hash, prompt[i]);
    if (i == 0) {
      entries.emplace_back(nullptr);
      continue;
    }
    const double value = log_probability(hash);
    json::object entry;
    for (int rank = 0; rank < std::max(alternatives, 1); ++rank) {
      const std::uint64_t other = mix(hash, static_cast<std::uint64_t>(rank)) %
                                  static_cast<std::uint64_t>(vocabulary_size());
      const Token id = rank == 0 ? prompt[i] : static_cast<Token>(other);
      entry[std::to_string(id)] = {{"logprob", alternative_log_probability(value, rank)},
                                   {"rank", rank + 1},
                                   {"decoded_token", valid_utf8(token_text(id))}};
    }
    entries.emplace_back(std::move(entry));
  }
  return entries;
}

json::object chat_logprob(Token token, std::uint64_t hash, int alternatives) {
  const std::string text = token_text(token);
  const double value = log_probability(hash);
  json::array top;
  for (int rank = 0; rank < alternatives; ++rank) {
    top.emplace_back(chat_token(rank == 0 ? text : alternative(hash, rank),
                                alternative_log_probability(value, rank)));
  }
  json::object entry = chat_token(text, value);
  entry["top_logprobs"] = std::move(top);
  return entry;
}

}  // namespace batchproxy::sim
