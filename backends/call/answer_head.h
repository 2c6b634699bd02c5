// backends/call/answer_head.h - AnswerHead: what of the head of a backend's answer is passed on.
//
// Threading: a value, any thread.
#pragma once

#include <array>
#include <string_view>

#include "batcher/base/time.h"

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

// The fields of a backend that it keeps apart, because we write or judge by them ourselves.
struct KeptField {
  std::string_view name;
  std::string_view AnswerHead::* value;
};
inline constexpr std::array<KeptField, 5> kKeptFields{{
    {"content-type", &AnswerHead::content_type},
    {"content-encoding", &AnswerHead::content_encoding},
    {"retry-after", &AnswerHead::retry_after},
    {"retry-after-ms", &AnswerHead::retry_after_ms},
    {"x-should-retry", &AnswerHead::should_retry},
}};

// How long an answer asks its client to wait; nothing unless it is a 429 or a 503 that says so.
Duration wait_asked_for(const AnswerHead& head);

}  // namespace batchproxy
