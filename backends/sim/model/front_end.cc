// backends/sim/model/front_end.cc - how the cost of a call is split before and after the engine.
#include "backends/sim/model/front_end.h"

#include <algorithm>

namespace batchproxy::sim {
namespace {

constexpr double kCallShareBefore = 0.6;
constexpr double kPromptShareBefore = 0.8;
constexpr double kTokensPerChunk = 2.0;  // a chunk costs as much as two tokens of a whole answer

}  // namespace

double FrontEnd::accept_call(double now) {
  return book(now, costs_.per_call * kCallShareBefore);
}

double FrontEnd::accept_prompt(double now) {
  return book(now, costs_.per_prompt * kPromptShareBefore);
}

double FrontEnd::send_chunk(double now) {
  return book(now, costs_.per_token * kTokensPerChunk);
}

double FrontEnd::finish_prompt(double now, int output_tokens) {
  return book(now, costs_.per_prompt * (1 - kPromptShareBefore) + costs_.per_token * output_tokens);
}

double FrontEnd::finish_call(double now) {
  return book(now, costs_.per_call * (1 - kCallShareBefore));
}

double FrontEnd::book(double now, double seconds) {
  free_at_ = std::max(free_at_, now) + seconds;
  return free_at_;
}

}  // namespace batchproxy::sim
