// backends/call/answer_head.cc - see answer_head.h.
#include "backends/call/answer_head.h"

#include <algorithm>
#include <charconv>

namespace batchproxy {

Duration wait_asked_for(const AnswerHead& head) {
  if (head.status != 429 && head.status != 503) return {};
  const auto number = [](std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    return whole && value > 0 ? std::min(value, 1e6) : 0;
  };
  const double ms = number(head.retry_after_ms);
  const double seconds = ms > 0 ? ms / 1000 : number(head.retry_after);
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

}  // namespace batchproxy
