// backends/sim/api/prompts.h - what a request gives the engine to read: texts, lists of texts or
// token ids, and conversations.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "backends/sim/model/tokenizer.h"

namespace batchproxy::sim {

struct Prompt {
  std::string text;
  std::vector<Token> tokens;
  bool ids = false;      // given as token ids
  std::string question;  // what the answer depends on: `text`, or the last message of a chat
};

Prompt text_prompt(std::string text);

// A conversation, through the simulated model's chat template.
Prompt chat_prompt(const boost::json::value& messages);

// The field `name` of /v1/completions and of the pooling endpoints: a string or a list of token ids
// is one prompt, a list of either is several.
std::vector<Prompt> prompt_list(const boost::json::value& value, std::string_view name);

std::vector<Token> token_ids(const boost::json::value& list, std::string_view name);

// Throws if one of the prompts is empty or too long, or leaves no room for an answer where there
// should be one.
void check_lengths(const std::vector<Prompt>& prompts, bool answers, int max_model_len);

}  // namespace batchproxy::sim
