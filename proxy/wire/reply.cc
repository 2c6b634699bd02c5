// proxy/wire/reply.cc - see reply.h.
#include "proxy/wire/reply.h"

#include <boost/beast/http/status.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "backends/http/head_writer.h"

namespace batchproxy {

namespace {

using http::HeadWriter;

void add_common(HeadWriter& out, const ReplyContext& context) {
  out.field("x-request-id", context.request_id);
  out.add(context.cors);
  if (!context.keep_alive) {
    out.add("connection: close\r\n");
  } else if (context.minor_version == 0) {
    out.add("connection: keep-alive\r\n");
  }
}

void add_status_line(HeadWriter& out, unsigned status) {
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  out.add("HTTP/1.1 ", status, " ", std::string_view(reason.data(), reason.size()), "\r\n");
}

// What HTTP asks for beside a status (RFC 9110, 15.5.2 and 15.5.6).
void add_required(HeadWriter& out, unsigned status, const Error& error) {
  if (status == 401) out.add("www-authenticate: Bearer\r\n");
  if (status == 405) out.field("allow", error.allow.empty() ? kAllMethods : error.allow);
}

void add_provenance(HeadWriter& out, const Provenance& from) {
  out.add("x-batchproxy-backend: ", from.backend, "\r\nx-batchproxy-batch: ", from.batch, "/",
          from.batch_prompts, "\r\nx-batchproxy-attempts: ", from.attempts, "\r\n");
  if (from.apportioned_usage) out.add("x-batchproxy-usage: apportioned\r\n");
  if (from.replayed) out.add("x-batchproxy-replayed: true\r\n");
}

}  // namespace

std::string compose_head(const AnswerHead& head, std::optional<std::size_t> length,
                         const ReplyContext& context, const Provenance* provenance) {
  std::string out;
  compose_head_into(out, head, length, context, provenance);
  return out;
}

void compose_head_into(std::string& into, const AnswerHead& head, std::optional<std::size_t> length,
                       const ReplyContext& context, const Provenance* provenance) {
  into.clear();
  HeadWriter out(into);
  add_status_line(out, head.status);
  if (!head.content_type.empty()) out.field("content-type", head.content_type);
  if (!head.content_encoding.empty()) out.field("content-encoding", head.content_encoding);
  if (!head.retry_after.empty()) out.field("retry-after", head.retry_after);
  if (!head.retry_after_ms.empty()) out.field("retry-after-ms", head.retry_after_ms);
  if (!head.should_retry.empty()) out.field("x-should-retry", head.should_retry);
  out.add(head.more);
  if (length) {
    if (head.status != 204) out.field("content-length", *length);
  } else if (context.minor_version == 1) {
    out.add("transfer-encoding: chunked\r\n");
  }
  if (provenance != nullptr) add_provenance(out, *provenance);
  add_common(out, context);
  out.add("\r\n");
}

std::string compose_error(const Error& error, const ReplyContext& context) {
  const ErrorTraits& traits = describe(error.code);
  const std::string body = error_json(error, context.errors);
  std::string text;
  {
    HeadWriter out(text);
    add_status_line(out, traits.status);
    out.field("content-type", "application/json");
    out.field("content-length", body.size());
    out.field("x-batchproxy-code", traits.code);
    out.field("x-should-retry", traits.retryable ? "true" : "false");
    if (!traits.retry_after.empty()) out.field("retry-after", traits.retry_after);
    add_required(out, traits.status, error);
    add_common(out, context);
    out.add("\r\n", body);
  }
  return text;
}

std::string compose_local(const LocalAnswer& answer, const ReplyContext& context) {
  std::string allow;
  if (!answer.allow.empty()) http::HeadWriter(allow).field("allow", answer.allow);
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
