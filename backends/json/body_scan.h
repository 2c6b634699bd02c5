// backends/json/body_scan.h - BodyScanner: the one look at a request's JSON.
//
// Finds what scheduling needs and leaves the bytes alone: they are forwarded as they came, so
// unknown fields, lone surrogates and number spellings survive.
//
// Threading: confined to one I/O thread (it owns the parser's memory).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "batcher/base/ticket.h"

namespace batchproxy {

// Which field of a body carries the prompts.
enum class BodyKind {
  kCompletion,  // `prompt`: text, list of texts, token ids, or list of token id lists
  kChat,        // `messages`: one conversation
  kChatBatch,   // `messages`: a list of conversations
  kPrompted,    // `messages`, `input`, `state` or `prompt`: of any form, one prompt
  kOther,       // embeddings and everything else: one prompt
  kForm,        // not JSON but a form with a file: see form_scan.h
};

// What a prompt's value looks like.
enum class PromptForm { kNone, kText, kTokens, kList };

struct BodyScan {
  std::string_view model;  // empty if absent or null; valid until the next scan
  bool streaming = false;  // `"stream": true`
  std::uint32_t prompts = 1;
  std::uint32_t choices = 1;  // answers asked for per prompt, `n`; 0: not plain to see

  // The prompt's, or the messages', raw JSON within the body.
  std::string_view prompt;
  PromptForm form = PromptForm::kNone;

  // Whether the request may share a call with others that differ in the prompt alone, and whether
  // it asks for at most kShortAnswer.
  Mergeable mergeable = Mergeable::kNever;
  bool short_answer = false;
};

struct BodyLimits {
  std::size_t depth = 64;        // arrays and objects within each other, the body's own counted
  std::uint32_t prompts = 4096;  // of a list, or a batch of chats
};

class BodyScanner {
 public:
  explicit BodyScanner(const BodyLimits& limits = {}) : limits_(limits) {}

  static constexpr std::size_t kPadding = simdjson::SIMDJSON_PADDING;
  static constexpr std::int64_t kShortAnswer = 16;

  // `body` must be followed by kPadding readable bytes. Throws std::bad_alloc.
  Result<BodyScan> scan(std::string_view body, BodyKind kind);

  // The raw JSON of each element of `list`, a JSON array inside `body` (as above).
  Result<std::vector<std::string_view>> elements(std::string_view body, std::string_view list);

 private:
  Result<BodyScan> look(std::string_view body, BodyKind kind);

  const BodyLimits limits_;
  simdjson::ondemand::parser parser_;
};

}  // namespace batchproxy
