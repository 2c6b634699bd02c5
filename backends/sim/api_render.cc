// backends/sim/api_render.cc - vLLM's response shapes.
#include "backends/sim/api_render.h"

#include <algorithm>
#include <span>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "backends/sim/hash.h"

namespace batchproxy {
namespace {

namespace json = boost::json;

constexpr std::string_view kFinishNames[] = {"stop", "length"};

std::string event(const json::object& data) {
  return "data: " + json::serialize(data) + "\n\n";
}

json::array to_json(std::span<const Token> tokens) {
  return json::array(tokens.begin(), tokens.end());
}

std::uint64_t extend(std::uint64_t hash, Token token) {
  return mix(hash, static_cast<std::uint64_t>(token));
}

std::uint64_t hash_of(std::span<const Token> tokens) {
  std::uint64_t hash = kHashStart;
  for (const Token token : tokens) hash = extend(hash, token);
  return hash;
}

std::int64_t code_points(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
}

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

// The legacy shape of /v1/completions: four lists of equal length.
class CompletionLogprobs {
 public:
  explicit CompletionLogprobs(int alternatives) : alternatives_(alternatives) {}

  void add(Token token, std::uint64_t hash, bool known) {
    const std::string text = valid_utf8(token_text(token));
    tokens_.emplace_back(text);
    offsets_.emplace_back(offset_);
    offset_ += code_points(text);
    if (!known) {  // nothing comes before the first token of a prompt
      values_.emplace_back(nullptr);
      top_.emplace_back(nullptr);
      return;
    }
    const double value = log_probability(hash);
    values_.emplace_back(value);
    json::object top{{text, value}};
    for (int rank = 1; rank < alternatives_; ++rank) {
      top[alternative(hash, rank)] = alternative_log_probability(value, rank);
    }
    top_.emplace_back(std::move(top));
  }

  json::object take() {
    return {{"text_offset", std::move(offsets_)},
            {"token_logprobs", std::move(values_)},
            {"tokens", std::move(tokens_)},
            {"top_logprobs", std::move(top_)}};
  }

 private:
  const int alternatives_;
  std::int64_t offset_ = 0;
  json::array tokens_, values_, top_, offsets_;
};

json::object chat_token(const std::string& text, double value) {
  json::array bytes;
  for (const char c : text) bytes.emplace_back(static_cast<unsigned char>(c));
  return {{"token", text}, {"logprob", value}, {"bytes", std::move(bytes)}};
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

}  // namespace

GenerationCall::GenerationCall(GenerationRequest request, CallIdentity identity, AnswerMode mode,
                               int max_model_len)
    : request_(std::move(request)), identity_(std::move(identity)) {
  for (const Prompt& prompt : request_.prompts) {
    AnswerRequest ask;
    ask.prompt = prompt.question;
    ask.chat = request_.chat;
    ask.max_tokens = request_.output_limit(prompt, max_model_len);
    ask.min_tokens = request_.min_tokens;
    ask.ignore_eos = request_.ignore_eos;
    ask.seed = request_.seed;
    ask.stop = request_.stop;
    for (ask.choice = 0; ask.choice < request_.n; ++ask.choice) {
      answers_.push_back(answer(mode, ask));
      progress_.push_back({0, hash_of(prompt.tokens)});
    }
  }
}

std::vector<Work> GenerationCall::work() const {
  std::vector<Work> items;
  for (std::size_t index = 0; index < answers_.size(); ++index) {
    std::vector<Token> sequence = prompt_of(index).tokens;
    const int prompt_tokens = static_cast<int>(sequence.size());
    const std::vector<Token>& answer = answers_[index].tokens;
    sequence.insert(sequence.end(), answer.begin(), answer.end());
    items.push_back({prompt_tokens, static_cast<int>(answer.size()), block_hashes(sequence)});
  }
  return items;
}

const Prompt& GenerationCall::prompt_of(std::size_t index) const {
  return request_.prompts[index / static_cast<std::size_t>(request_.n)];
}

std::string GenerationCall::body() const {
  json::object body = envelope(request_.chat ? "chat.completion" : "text_completion");
  json::array choices;
  for (std::size_t index = 0; index < answers_.size(); ++index) {
    choices.emplace_back(request_.chat ? chat_choice(index) : completion_choice(index));
  }
  body["choices"] = std::move(choices);
  body["usage"] = total_usage();
  if (request_.chat) {
    body["prompt_logprobs"] = nullptr;
    if (request_.return_token_ids && request_.prompts.size() == 1) {
      body["prompt_token_ids"] = to_json(request_.prompts.front().tokens);
    }
  }
  return json::serialize(body);
}

json::object GenerationCall::completion_choice(std::size_t index) const {
  const Answer& answer = answers_[index];
  const Prompt& prompt = prompt_of(index);
  std::span<const Token> generated = answer.tokens;
  if (echoes_only()) generated = {};

  json::object choice{{"index", index}};
  choice["text"] = (request_.echo ? valid_utf8(prompt.text) : "") +
                   (echoes_only() ? "" : valid_utf8(answer.text()));
  choice["logprobs"] = nullptr;
  if (request_.logprobs) {
    CompletionLogprobs logprobs(*request_.logprobs);
    std::uint64_t hash = kHashStart;
    for (std::size_t i = 0; i < prompt.tokens.size(); ++i) {
      hash = extend(hash, prompt.tokens[i]);
      if (request_.echo) logprobs.add(prompt.tokens[i], hash, i > 0);
    }
    for (const Token token : generated) {
      hash = extend(hash, token);
      logprobs.add(token, hash, true);
    }
    choice["logprobs"] = logprobs.take();
  }
  add_finish(choice, answer);
  choice["prompt_logprobs"] = nullptr;
  if (request_.return_token_ids) {
    choice["prompt_token_ids"] = to_json(prompt.tokens);
    choice["token_ids"] = to_json(generated);
  }
  return choice;
}

json::object GenerationCall::chat_choice(std::size_t index) const {
  const Answer& answer = answers_[index];
  json::object choice{{"index", index}};
  choice["message"] = {
      {"role", "assistant"}, {"content", answer.text()}, {"tool_calls", json::array()}};
  choice["logprobs"] = nullptr;
  if (request_.logprobs) {
    json::array content;
    std::uint64_t hash = hash_of(prompt_of(index).tokens);
    for (const Token token : answer.tokens) {
      hash = extend(hash, token);
      content.emplace_back(chat_logprob(token, hash, *request_.logprobs));
    }
    choice["logprobs"] = {{"content", std::move(content)}};
  }
  add_finish(choice, answer);
  if (request_.return_token_ids) choice["token_ids"] = to_json(answer.tokens);
  return choice;
}

void GenerationCall::add_finish(json::object& choice, const Answer& answer) const {
  choice["finish_reason"] = kFinishNames[static_cast<std::size_t>(answer.finish_reason)];
  choice["stop_reason"] = nullptr;
  if (!answer.stopped_by.empty()) choice["stop_reason"] = answer.stopped_by;
}

std::string GenerationCall::opening() const {
  if (!request_.chat) return {};
  std::string events;
  for (std::size_t index = 0; index < answers_.size(); ++index) {
    json::object chunk = envelope("chat.completion.chunk");
    chunk["choices"] = json::array{{{"index", index},
                                    {"delta", {{"role", "assistant"}, {"content", ""}}},
                                    {"logprobs", nullptr},
                                    {"finish_reason", nullptr}}};
    if (request_.continuous_usage) chunk["usage"] = usage(prompt_of(index).tokens.size(), 0);
    events += event(chunk);
  }
  return events;
}

std::string GenerationCall::next_chunk(int choice_index) {
  const auto index = static_cast<std::size_t>(choice_index);
  Progress& progress = progress_[index];
  json::object chunk = envelope(request_.chat ? "chat.completion.chunk" : "text_completion");
  chunk["choices"] = json::array{delta_choice(index, progress.sent, progress.sequence_hash)};
  ++progress.sent;
  if (request_.continuous_usage) {
    chunk["usage"] = usage(prompt_of(index).tokens.size(), progress.sent);
  }
  return event(chunk);
}

json::object GenerationCall::delta_choice(std::size_t index, std::size_t position,
                                          std::uint64_t& hash) const {
  const Answer& answer = answers_[index];
  const Prompt& prompt = prompt_of(index);
  const Token token = answer.tokens[position];
  const bool first = position == 0;
  const bool last = position + 1 == answer.tokens.size();
  hash = extend(hash, token);

  std::string text = echoes_only() ? "" : answer.pieces[position];
  if (first && request_.echo) text = valid_utf8(prompt.text) + text;
  json::object choice{{"index", index}};
  json::value logprobs = nullptr;
  if (request_.chat) {
    choice["delta"] = {{"content", text}};
    if (request_.logprobs) {
      logprobs = {{"content", json::array{chat_logprob(token, hash, *request_.logprobs)}}};
    }
  } else {
    choice["text"] = text;
    if (request_.logprobs) {
      CompletionLogprobs one(*request_.logprobs);
      one.add(token, hash, true);
      logprobs = one.take();
    }
  }
  choice["logprobs"] = std::move(logprobs);
  choice["finish_reason"] = nullptr;
  choice["stop_reason"] = nullptr;
  if (last) add_finish(choice, answer);
  if (request_.return_token_ids) {
    choice["token_ids"] = json::array{token};
    if (first && !request_.chat) choice["prompt_token_ids"] = to_json(prompt.tokens);
  }
  return choice;
}

std::string GenerationCall::closing() const {
  std::string events;
  if (request_.include_usage) {
    json::object chunk = envelope(request_.chat ? "chat.completion.chunk" : "text_completion");
    chunk["choices"] = json::array();
    chunk["usage"] = total_usage();
    events = event(chunk);
  }
  return events + "data: [DONE]\n\n";
}

json::object GenerationCall::envelope(std::string_view object) const {
  return {{"id", identity_.id},
          {"object", object},
          {"created", identity_.created},
          {"model", identity_.model}};
}

json::object GenerationCall::usage(std::size_t prompt_tokens, std::size_t completion_tokens) const {
  return {{"prompt_tokens", prompt_tokens},
          {"total_tokens", prompt_tokens + completion_tokens},
          {"completion_tokens", completion_tokens},
          {"prompt_tokens_details", nullptr}};
}

json::object GenerationCall::total_usage() const {
  std::size_t prompt_tokens = 0;
  std::size_t completion_tokens = 0;
  for (const Prompt& prompt : request_.prompts) prompt_tokens += prompt.tokens.size();
  for (const Answer& answer : answers_) completion_tokens += answer.tokens.size();
  return usage(prompt_tokens, completion_tokens);
}

}  // namespace batchproxy
