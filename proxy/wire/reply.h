// proxy/wire/reply.h - composes the heads of our answers, and whole error answers.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "backends/call/upstream_call.h"
#include "batcher/base/error.h"
#include "proxy/wire/router.h"

namespace batchproxy {

// The part of an answer's head that depends on the client and its connection.
struct ReplyContext {
  std::string_view request_id;
  int minor_version = 1;  // of the client's HTTP/1.x
  bool keep_alive = true;
  std::string_view cors = {};  // for a web page that asks, as ready lines
  ErrorForm errors = ErrorForm::kPlain;
};

// The backend that answered, for x-batchproxy-*.
struct Provenance {
  std::string_view backend;
  std::uint64_t batch = 0;
  std::uint32_t batch_prompts = 0;
  unsigned attempts = 1;
  bool apportioned_usage = false;  // `usage` is a share of a sum
  bool replayed = false;           // from the record of its job; the others say how it came there
};

// `length` is the body's; nothing means that it follows in chunks, or until the connection's end
// for an HTTP/1.0 client. A 204 has no body, and does not say so.
std::string compose_head(const AnswerHead& head, std::optional<std::size_t> length,
                         const ReplyContext& context, const Provenance* provenance = nullptr);
// The same, in place of what `into` holds.
void compose_head_into(std::string& into, const AnswerHead& head, std::optional<std::size_t> length,
                       const ReplyContext& context, const Provenance* provenance);

// Head and body.
std::string compose_error(const Error& error, const ReplyContext& context);
std::string compose_local(const LocalAnswer& answer, const ReplyContext& context);
// The body alone.
std::string error_json(const Error& error, ErrorForm form = ErrorForm::kPlain);
// The last event of a broken stream.
std::string compose_error_event(const Error& error, ErrorForm form);

}  // namespace batchproxy
