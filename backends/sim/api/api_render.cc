// backends/sim/api/api_render.cc - vLLM's response shapes of the generation endpoints.
#include "backends/sim/api/api_render.h"

#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "backends/sim/model/logprobs.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

constexpr std::string_view kFingerprint = "simulated-" BATCHPROXY_VERSION;
constexpr std::string_view kFinishNames[] = {"stop", "length"};

std::string event(const json::object& data) {
  return "data: " + json::serialize(data) + "\n\n";
}

// A whole answer has these, the events of a stream do not.
json::object with_details(json::object usage) {
  usage["prompt_tokens_details"] = nullptr;
  usage["completion_tokens_details"] = nullptr;
  return usage;
}

}  // namespace

GenerationCall::GenerationCall(GenerationRequest request, CallIdentity identity,
                               const ApiOptions& options)
    : request_(std::move(request)),
      identity_(std::move(identity)),
      knows_token_ids_(options.token_ids) {
  for (const Prompt& prompt : request_.prompts) {
    AnswerRequest ask;
    ask.prompt = prompt.question;
    ask.chat = request_.chat;
    ask.max_tokens = request_.output_limit(prompt, options.max_model_len);
    ask.min_tokens = request_.min_tokens;
    ask.ignore_eos = request_.ignore_eos;
    ask.seed = request_.seed;
    ask.stop = request_.stop;
    for (ask.choice = 0; ask.choice < request_.n; ++ask.choice) {
      answers_.push_back(answer(options.answer_mode, ask));
      progress_.push_back({0, 0, hash_of(prompt.tokens)});
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

RequestTally GenerationCall::tally() const {
  RequestTally tally;
  for (const Answer& answer : answers_) {
    ++(answer.finish_reason == FinishReason::kStop ? tally.stop : tally.length);
  }
  return tally;
}

const Prompt& GenerationCall::prompt_of(std::size_t index) const {
  return request_.prompts[index / static_cast<std::size_t>(request_.n)];
}

// vLLM leaves the prompt out of the text when it gives the prompt's ids.
std::string GenerationCall::echoed(const Prompt& prompt) const {
  return request_.echo && !request_.return_token_ids ? valid_utf8(prompt.text) : "";
}

void GenerationCall::add_ids(json::object& to, std::string_view name, std::span<const Token> ids,
                             bool wanted) const {
  if (!knows_token_ids_) return;
  json::value value = nullptr;
  if (request_.return_token_ids && wanted) value = json::array(ids.begin(), ids.end());
  to[name] = std::move(value);
}

std::string GenerationCall::body() const {
  json::object body = envelope(request_.chat ? "chat.completion" : "text_completion");
  json::array choices;
  for (std::size_t index = 0; index < answers_.size(); ++index) {
    choices.emplace_back(request_.chat ? chat_choice(index) : completion_choice(index));
  }
  body["choices"] = std::move(choices);
  body["service_tier"] = nullptr;
  body["system_fingerprint"] = kFingerprint;
  body["usage"] = with_details(total_usage());
  if (request_.chat) {
    body["prompt_logprobs"] = nullptr;
    // There is one place for the prompt's ids, so a batch of conversations gives none.
    add_ids(body, "prompt_token_ids", request_.prompts.front().tokens,
            request_.prompts.size() == 1);
    body["prompt_text"] = nullptr;
  }
  for (const char* name : {"kv_transfer_params", "ec_transfer_params", "metrics"}) {
    body[name] = nullptr;
  }
  return json::serialize(body);
}

json::object GenerationCall::completion_choice(std::size_t index) const {
  const Answer& answer = answers_[index];
  const Prompt& prompt = prompt_of(index);
  json::object choice{{"index", index}};
  choice["text"] = echoed(prompt) + (echoes_only() ? "" : valid_utf8(answer.text()));
  choice["logprobs"] = nullptr;
  if (request_.logprobs) {
    CompletionLogprobs logprobs(*request_.logprobs, 0);
    if (request_.echo) logprobs.add_prompt(prompt.tokens);
    std::uint64_t hash = hash_of(prompt.tokens);
    for (const Token token : answer.tokens) {
      if (echoes_only()) break;
      hash = extend_hash(hash, token);
      logprobs.add(token, hash);
    }
    choice["logprobs"] = logprobs.take();
  }
  add_finish(choice, answer);
  add_ids(choice, "token_ids", answer.tokens);
  choice["prompt_logprobs"] = nullptr;
  if (request_.prompt_logprobs) {
    choice["prompt_logprobs"] = prompt_logprobs(prompt.tokens, *request_.prompt_logprobs);
  }
  add_ids(choice, "prompt_token_ids", prompt.tokens);
  choice["routed_experts"] = nullptr;
  return choice;
}

json::object GenerationCall::chat_choice(std::size_t index) const {
  const Answer& answer = answers_[index];
  json::object choice{{"index", index}};
  choice["message"] = {{"role", "assistant"}, {"content", answer.text()},
                       {"refusal", nullptr},  {"annotations", nullptr},
                       {"audio", nullptr},    {"function_call", nullptr},
                       {"reasoning", nullptr}};
  choice["logprobs"] = nullptr;
  if (request_.logprobs) {
    json::array content;
    std::uint64_t hash = hash_of(prompt_of(index).tokens);
    for (const Token token : answer.tokens) {
      hash = extend_hash(hash, token);
      content.emplace_back(chat_logprob(token, hash, *request_.logprobs));
    }
    choice["logprobs"] = {{"content", std::move(content)}};
  }
  add_finish(choice, answer);
  add_ids(choice, "token_ids", answer.tokens);
  choice["routed_experts"] = nullptr;
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
    add_ids(chunk, "prompt_token_ids", prompt_of(index).tokens);
    chunk["prompt_text"] = nullptr;
    if (request_.continuous_usage) chunk["usage"] = usage(prompt_of(index).tokens.size(), 0);
    events += event(chunk);
  }
  return events;
}

std::string GenerationCall::next_chunk(int choice_index) {
  const auto index = static_cast<std::size_t>(choice_index);
  Progress& progress = progress_[index];
  const Answer& answer = answers_[index];
  progress.sequence_hash = extend_hash(progress.sequence_hash, answer.tokens[progress.tokens]);
  json::object choice =
      request_.chat ? chat_delta(index, progress) : completion_delta(index, progress);
  progress.text += code_points(answer.pieces[progress.tokens]);
  ++progress.tokens;

  json::object chunk = envelope(request_.chat ? "chat.completion.chunk" : "text_completion");
  chunk["choices"] = json::array{std::move(choice)};
  if (request_.continuous_usage) {
    chunk["usage"] = usage(prompt_of(index).tokens.size(), progress.tokens);
  }
  if (progress.tokens == answer.tokens.size()) ++finished_;
  if (finished_ == answers_.size() && !request_.include_usage) {
    chunk["system_fingerprint"] = kFingerprint;  // the last event of a stream has it
  }
  return event(chunk);
}

json::object GenerationCall::completion_delta(std::size_t index, const Progress& progress) const {
  const Answer& answer = answers_[index];
  const Prompt& prompt = prompt_of(index);
  const bool first = progress.tokens == 0;
  const Token token = answer.tokens[progress.tokens];
  json::object choice{{"index", index}};
  choice["text"] = (first ? echoed(prompt) : "") +
                   (echoes_only() ? "" : valid_utf8(answer.pieces[progress.tokens]));
  choice["logprobs"] = nullptr;
  if (request_.logprobs) {
    CompletionLogprobs logprobs(*request_.logprobs, progress.text);
    if (first && request_.echo) logprobs.add_prompt(prompt.tokens);
    if (!echoes_only()) logprobs.add(token, progress.sequence_hash);
    choice["logprobs"] = logprobs.take();
  }
  choice["finish_reason"] = nullptr;
  choice["stop_reason"] = nullptr;
  if (progress.tokens + 1 == answer.tokens.size()) add_finish(choice, answer);
  add_ids(choice, "prompt_token_ids", prompt.tokens, first);
  if (first && request_.echo && knows_token_ids_) {  // asked for or not
    choice["prompt_token_ids"] = json::array(prompt.tokens.begin(), prompt.tokens.end());
  }
  add_ids(choice, "token_ids", {&token, 1});
  return choice;
}

json::object GenerationCall::chat_delta(std::size_t index, const Progress& progress) const {
  const Answer& answer = answers_[index];
  const Token token = answer.tokens[progress.tokens];
  json::object choice{{"index", index}};
  choice["delta"] = {{"content", answer.pieces[progress.tokens]}};
  choice["logprobs"] = nullptr;
  if (request_.logprobs) {
    choice["logprobs"] = {
        {"content", json::array{chat_logprob(token, progress.sequence_hash, *request_.logprobs)}}};
  }
  choice["finish_reason"] = nullptr;
  if (progress.tokens + 1 == answer.tokens.size()) add_finish(choice, answer);
  add_ids(choice, "token_ids", {&token, 1});
  return choice;
}

std::string GenerationCall::closing() const {
  std::string events;
  if (request_.include_usage) {
    json::object chunk = envelope(request_.chat ? "chat.completion.chunk" : "text_completion");
    chunk["choices"] = json::array();
    chunk["usage"] = total_usage();
    chunk["system_fingerprint"] = kFingerprint;
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
          {"completion_tokens", completion_tokens}};
}

json::object GenerationCall::total_usage() const {
  std::size_t prompt_tokens = 0;
  std::size_t completion_tokens = 0;
  for (const Prompt& prompt : request_.prompts) prompt_tokens += prompt.tokens.size();
  for (const Answer& answer : answers_) completion_tokens += answer.tokens.size();
  return usage(prompt_tokens, completion_tokens);
}

}  // namespace batchproxy::sim
