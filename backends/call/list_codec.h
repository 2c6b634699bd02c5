// backends/call/list_codec.h - several requests in one list call, and one list over several calls.
//
//   merge     requests that differ in their prompt alone ─▶ one body with a list of prompts
//   unmerge   the answer to that ─▶ an answer for each, in the shape of a lone one
//   gather    the answers to those ─▶ one answer, as if one engine had given it
//
// Bytes are spliced, not rebuilt: whatever a client or an engine wrote is passed on as it stood.
//
// Sources: vLLM's answers to list prompts have index = prompt * n + choice and one summed `usage`;
// `return_token_ids` lists every choice's tokens, from which each prompt's own usage is counted.
//
// Threading: pure functions, any thread; a ListReader is confined to one I/O thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "backends/call/answer_check.h"

namespace batchproxy {

// A request body around its prompt: `before` + prompt + `after`.
struct BodyParts {
  std::string_view before;
  std::string_view prompt;
  std::string_view after;

  // `prompt` lies within `body`.
  static BodyParts cut(std::string_view body, std::string_view prompt);
};

// One body for all of `members`, which agree in `before` and `after`. With `ask_token_ids` the
// engine is asked for what counting each member's usage takes.
std::string merge(std::span<const BodyParts> members, bool ask_token_ids);

struct UnmergedAnswer {
  std::string body;
  bool exact_usage = true;  // false: a share of the sum, by the length of the prompts
};

class ListReader {
 public:
  // The answer of each of the members whose prompts are `prompt_bytes` long. Nothing when `answer`
  // is not JSON, or does not hold exactly one choice for each.
  std::optional<std::vector<UnmergedAnswer>> unmerge(std::string_view answer,
                                                     std::span<const std::size_t> prompt_bytes);

  struct Piece {
    std::string_view answer;
    std::uint32_t first_prompt;  // its place in the client's list
    std::uint32_t prompts;
  };
  // One answer to the whole list. `choices` is what was asked for per prompt (`n`). Nothing when
  // an answer is not JSON, or does not hold the choices that it should.
  std::optional<std::string> gather(std::span<const Piece> pieces, std::uint32_t choices);

 private:
  AnswerChecker checker_;
  simdjson::ondemand::parser parser_;
};

}  // namespace batchproxy
