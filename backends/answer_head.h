// backends/answer_head.h - AnswerHead: what of the head of a backend's answer is passed on.
//
// Threading: a value, any thread.
#pragma once

#include <string_view>

#include "batcher/ticket.h"

namespace batchproxy {

// Views are valid while the call lives.
struct AnswerHead {
  unsigned status = 0;
  std::string_view content_type{};
  std::string_view content_encoding{};
  std::string_view retry_after{};
  std::string_view retry_after_ms{};  // these two: what the openai package goes by
  std::string_view should_retry{};
  std::string_view more{};  // others, as ready lines
};

// How long an answer asks its client to wait; nothing unless it is a 429 or a 503 that says so.
Duration wait_asked_for(const AnswerHead& head);

}  // namespace batchproxy
