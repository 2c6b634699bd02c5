// proxy/wire/reply.cc - see reply.h.
#include "proxy/wire/reply.h"

#include <boost/beast/http/status.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace batchproxy {

namespace {

void add(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

void add_common(std::string& out, const ReplyContext& context) {
  add(out, "x-request-id", context.request_id);
  out.append(context.cors);
  if (!context.keep_alive) {
    add(out, "connection", "close");
  } else if (context.minor_version == 0) {
    add(out, "connection", "keep-alive");
  }
}

void add_status_line(std::string& out, unsigned status) {
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ");
  out.append(reason.data(), reason.size()).append("\r\n");
}

// What HTTP asks for beside a status (RFC 9110, 15.5.2 and 15.5.6).
void add_required(std::string& out, unsigned status, const Error& error) {
  if (status == 401) add(out, "www-authenticate", "Bearer");
  if (status == 405) add(out, "allow", error.allow.empty() ? kAllMethods : error.allow);
}

}  // namespace

std::string compose_head(const AnswerHead& head, std::optional<std::size_t> length,
                         const ReplyContext& context, const Provenance* provenance) {
  std::string out;
  out.reserve(384);
  compose_head_into(out, head, length, context, provenance);
  return out;
}

void compose_head_into(std::string& out, const AnswerHead& head, std::optional<std::size_t> length,
                       const ReplyContext& context, const Provenance* provenance) {
  out.clear();
  add_status_line(out, head.status);
  if (!head.content_type.empty()) add(out, "content-type", head.content_type);
  if (!head.content_encoding.empty()) add(out, "content-encoding", head.content_encoding);
  if (!head.retry_after.empty()) add(out, "retry-after", head.retry_after);
  if (!head.retry_after_ms.empty()) add(out, "retry-after-ms", head.retry_after_ms);
  if (!head.should_retry.empty()) add(out, "x-should-retry", head.should_retry);
  out.append(head.more);
  if (length) {
    if (head.status != 204) add(out, "content-length", std::to_string(*length));
  } else if (context.minor_version == 1) {
    add(out, "transfer-encoding", "chunked");
  }
  if (provenance != nullptr) {
    add(out, "x-batchproxy-backend", provenance->backend);
    add(out, "x-batchproxy-batch",
        std::to_string(provenance->batch) + "/" + std::to_string(provenance->batch_prompts));
    add(out, "x-batchproxy-attempts", std::to_string(provenance->attempts));
    if (provenance->apportioned_usage) add(out, "x-batchproxy-usage", "apportioned");
    if (provenance->replayed) add(out, "x-batchproxy-replayed", "true");
  }
  add_common(out, context);
  out.append("\r\n");
}

std::string compose_error(const Error& error, const ReplyContext& context) {
  const ErrorTraits& traits = describe(error.code);
  const std::string body = error_json(error, context.errors);
  std::string out;
  out.reserve(384 + body.size());
  add_status_line(out, traits.status);
  add(out, "content-type", "application/json");
  add(out, "content-length", std::to_string(body.size()));
  add(out, "x-batchproxy-code", traits.code);
  add(out, "x-should-retry", traits.retryable ? "true" : "false");
  if (!traits.retry_after.empty()) add(out, "retry-after", traits.retry_after);
  add_required(out, traits.status, error);
  add_common(out, context);
  return out.append("\r\n").append(body);
}

std::string compose_local(const LocalAnswer& answer, const ReplyContext& context) {
  std::string allow;
  if (!answer.allow.empty()) add(allow, "allow", answer.allow);
  AnswerHead head;
  head.status = answer.status;
  head.content_type = answer.content_type;
  head.retry_after = answer.retry_after;
  head.more = allow;
  return compose_head(head, answer.body.size(), context).append(answer.body);
}

std::string error_json(const Error& error, ErrorForm form) {
  const ErrorTraits& traits = describe(error.code);
  boost::json::object fields;
  fields["message"] = error.message;
  fields["type"] = traits.type;
  if (error.param.empty()) {
    fields["param"] = nullptr;
  } else {
    fields["param"] = error.param;
  }
  fields["code"] = traits.code;
  boost::json::object body;
  if (form == ErrorForm::kTyped) body["type"] = "error";
  body["error"] = std::move(fields);
  return boost::json::serialize(body);
}

std::string compose_error_event(const Error& error, ErrorForm form) {
  const std::string_view name = form == ErrorForm::kTyped ? "event: error\n" : "";
  return std::string(name).append("data: ").append(error_json(error, form)).append("\n\n");
}

}  // namespace batchproxy
