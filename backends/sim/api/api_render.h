// backends/sim/api/api_render.h - GenerationCall: one accepted call of an endpoint that generates
// text.
//
// Choices are numbered as vLLM does: index = prompt * n + k. Each choice is one item of work.
//
// Threading: confined to the server.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "backends/sim/api/api_call.h"
#include "backends/sim/api/api_options.h"
#include "backends/sim/api/api_request.h"
#include "backends/sim/model/answers.h"

namespace batchproxy::sim {

class GenerationCall : public ApiCall {
 public:
  GenerationCall(GenerationRequest request, CallIdentity identity, const ApiOptions& options);

  std::vector<Work> work() const override;
  RequestTally tally() const override;
  std::string body() const override;

  bool stream() const override { return request_.stream; }
  std::string opening() const override;
  std::string next_chunk(int index) override;
  std::string closing() const override;

 private:
  // How far a choice of a stream has come.
  struct Progress {
    std::size_t tokens = 0;
    std::int64_t text = 0;  // code points
    std::uint64_t sequence_hash = 0;
  };

  const Prompt& prompt_of(std::size_t index) const;
  bool echoes_only() const { return request_.echo && request_.max_tokens == 0; }
  std::string echoed(const Prompt& prompt) const;
  // The field is there, as null, when nobody has asked for it; an older vLLM has no such field.
  void add_ids(boost::json::object& to, std::string_view name, std::span<const Token> ids,
               bool wanted = true) const;

  boost::json::object envelope(std::string_view object) const;
  boost::json::object usage(std::size_t prompt_tokens, std::size_t completion_tokens) const;
  boost::json::object total_usage() const;
  boost::json::object completion_choice(std::size_t index) const;
  boost::json::object chat_choice(std::size_t index) const;
  boost::json::object completion_delta(std::size_t index, const Progress& progress) const;
  boost::json::object chat_delta(std::size_t index, const Progress& progress) const;
  void add_finish(boost::json::object& choice, const Answer& answer) const;

  const GenerationRequest request_;
  const CallIdentity identity_;
  const bool knows_token_ids_;
  std::vector<Answer> answers_;     // one per choice
  std::vector<Progress> progress_;  // one per choice; used by streams
  std::size_t finished_ = 0;        // choices of a stream that have ended
};

}  // namespace batchproxy::sim
