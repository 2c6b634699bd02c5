// backends/call/answer_check.h - AnswerChecker: is this answer the JSON that its client waits for?
//
// An engine that is dying, or something else on its port, may say 200 and send half an object, or a
// page of HTML. Such a body is never relayed. Its Content-Type decides nothing: servers are
// careless with that.
//
// Threading: confined to one I/O thread (it owns the parser's memory).
#pragma once

#include <optional>
#include <string_view>

#include <simdjson.h>

#include "backends/call/answer_head.h"
#include "backends/call/call_failure.h"

namespace batchproxy {

// Whether a `content-type` is JSON's: application/json or any +json, whatever its parameters.
bool is_json_type(std::string_view content_type);

// Whether it is that of a stream of server-sent events.
bool is_event_stream(std::string_view content_type);

// Whether a body that begins with `bytes` is a stream of server-sent events; nothing while they are
// too few to tell.
std::optional<bool> begins_like_events(std::string_view bytes);

// Why AnswerChecker refuses an answer as a kBadAnswer.
AnswerFault fault_of(const AnswerHead& head, std::string_view body);

class AnswerChecker {
 public:
  // The fault of an answer, if it has one: kBareError or kBadAnswer. Its status and what it
  // says are the client's business. `expects_object`: success means a JSON object here. Throws
  // std::bad_alloc.
  CallFailure judge(const AnswerHead& head, std::string_view body, bool expects_object);

  // Whether `body` is one JSON object from its first to its last byte, but for blanks around it.
  // Strings are checked for their end, UTF-8 and control bytes; their escapes are the client's to
  // read. `body` must be followed by simdjson::SIMDJSON_PADDING readable bytes.
  bool is_whole_object(std::string_view body);

 private:
  bool is_tree(std::string_view body);

  simdjson::dom::parser builder_;
  simdjson::ondemand::parser walker_;
};

}  // namespace batchproxy
