// backends/body_scan.h - BodyScanner: the one look at a request's JSON.
//
// Finds what scheduling needs and leaves the bytes alone: they are forwarded as they came, so
// unknown fields, lone surrogates and number spellings survive.
//
// Threading: confined to one I/O thread (it owns the parser's memory).
#pragma once

#include <cstdint>
#include <string_view>

#include <simdjson.h>

#include "batcher/error.h"

namespace batchproxy {

// Which fields of a body carry prompts.
enum class BodyKind {
  kCompletion,  // `prompt`: text, list of texts, token ids, or list of token id lists
  kOther,       // chat and everything else: one prompt
};

struct BodyScan {
  std::string_view model;  // empty if absent or null; valid until the next scan
  bool streaming = false;  // `"stream": true`
  std::uint32_t prompts = 1;
};

class BodyScanner {
 public:
  static constexpr std::size_t kPadding = simdjson::SIMDJSON_PADDING;

  // `body` must be followed by kPadding readable bytes.
  Result<BodyScan> scan(std::string_view body, BodyKind kind);

 private:
  simdjson::ondemand::parser parser_;
};

}  // namespace batchproxy
