// backends/sim/api_render.h - GenerationCall: one accepted call, from the work it puts on the
// engine to the bytes of its answer, whole or as server-sent events.
//
// Choices are numbered as vLLM does: index = prompt * n + k. Each choice is one item of work.
//
// Threading: confined to the server.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "backends/sim/answers.h"
#include "backends/sim/api_request.h"
#include "backends/sim/server_model.h"

namespace batchproxy {

struct CallIdentity {
  std::string id;  // "cmpl-..." or "chatcmpl-..."
  std::string model;
  std::int64_t created = 0;  // Unix time
};

class GenerationCall {
 public:
  GenerationCall(GenerationRequest request, CallIdentity identity, AnswerMode mode,
                 int max_model_len);

  // One item per choice.
  std::vector<Work> work() const;

  bool stream() const { return request_.stream; }
  const std::vector<Answer>& answers() const { return answers_; }

  // The whole answer, as JSON.
  std::string body() const;

  // The parts of a streamed answer: what comes before the first token, the next token of choice
  // `index`, and what follows the last token of all.
  std::string opening() const;
  std::string next_chunk(int index);
  std::string closing() const;

 private:
  struct Progress {
    std::size_t sent = 0;  // tokens of the answer
    std::uint64_t sequence_hash = 0;
  };

  const Prompt& prompt_of(std::size_t index) const;
  bool echoes_only() const { return request_.echo && request_.max_tokens == 0; }
  boost::json::object envelope(std::string_view object) const;
  boost::json::object usage(std::size_t prompt_tokens, std::size_t completion_tokens) const;
  boost::json::object total_usage() const;
  boost::json::object completion_choice(std::size_t index) const;
  boost::json::object chat_choice(std::size_t index) const;
  boost::json::object delta_choice(std::size_t index, std::size_t token, std::uint64_t& hash) const;
  void add_finish(boost::json::object& choice, const Answer& answer) const;

  const GenerationRequest request_;
  const CallIdentity identity_;
  std::vector<Answer> answers_;     // one per choice
  std::vector<Progress> progress_;  // one per choice; used by streams
};

}  // namespace batchproxy
