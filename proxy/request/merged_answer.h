// proxy/request/merged_answer.h - what a merged call says to each of its members.
//
// Threading: made on the leader's thread, handed over to the member's; constant from then on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "backends/call/answer_head.h"
#include "backends/call/call_failure.h"
#include "proxy/wire/client_request.h"

namespace batchproxy {

// The head of a merged call's answer, kept for all its members.
class MergedHead {
 public:
  explicit MergedHead(const AnswerHead& head);
  MergedHead(const MergedHead&) = delete;
  MergedHead& operator=(const MergedHead&) = delete;

  const AnswerHead& head() const { return head_; }

 private:
  std::string text_;  // what head_ has views into
  AnswerHead head_;
};
using MergedHeadPtr = std::shared_ptr<const MergedHead>;

// A failure, or an answer.
struct MergedAnswer {
  CallFailure failure = CallFailure::kNone;
  MergedHeadPtr head{};
  std::string body{};
  bool exact_usage = true;
  AnswerFault fault{};        // of a kBadAnswer
  RequestId leader{};         // of the request that made the call
  std::uint32_t members = 1;  // that the call was for
};

}  // namespace batchproxy
