// proxy/request/answer_tap.h - AnswerTap: who sees a backend's whole answer before the client does,
// and says what becomes of it.
//
// Threading: confined to one I/O thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "backends/call/answer_head.h"
#include "batcher/base/error.h"

namespace batchproxy {

class AnswerTap {
 public:
  // The default is that the client gets it.
  struct Fate {
    bool kept = false;                        // nothing is sent: another call answers the client
    std::optional<std::string> instead = {};  // this JSON is sent, as a success
    std::optional<Error> refused = {};        // this error is
  };
  virtual Fate on_answer(const AnswerHead& head, std::string_view body) = 0;

 protected:
  ~AnswerTap() = default;
};

}  // namespace batchproxy
