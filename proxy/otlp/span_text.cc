// proxy/otlp/span_text.cc - see span_text.h.
#include "proxy/otlp/span_text.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "configs/schema/host_port.h"
#include "proxy/jobs/json_line.h"

namespace batchproxy {

namespace {

// As OTLP numbers them.
constexpr int kServer = 2, kClient = 3;  // kinds of spans
constexpr int kError = 2;                // status
constexpr int kSampled = 0x1, kKnowsParent = 0x100, kParentIsRemote = 0x200;  // flags

// What a path does, as the conventions for generative AI call it.
struct OperationRow {
  std::string_view path;
  std::string_view name;
};
constexpr std::array kOperations = {
    OperationRow{"/v1/chat/completions", "chat"},
    OperationRow{"/v1/chat/completions/batch", "chat"},
    OperationRow{"/v1/messages", "chat"},
    OperationRow{"/v1/responses", "chat"},
    OperationRow{"/v1/completions", "text_completion"},
    OperationRow{"/v1/embeddings", "embeddings"},
};

std::string_view operation_of(const RequestRecord& record) {
  if (!record.is_routed()) return {};
  const auto* row = std::ranges::find(kOperations, record.route->path, &OperationRow::path);
  return row == kOperations.end() ? std::string_view() : row->name;
}

std::string_view method_of(const RequestRecord& record) {
  if (record.head_only) return "HEAD";
  return record.is_routed() ? record.route->method : "_OTHER";
}

// A list of {"key":…,"value":{…}}.
class Attributes {
 public:
  void text(std::string_view name, std::string_view value) {
    if (!value.empty()) add(name, "stringValue", json_text(value));
  }
  // OTLP writes 64 bits as a text.
  void number(std::string_view name, std::uint64_t value) {
    add(name, "intValue", fmt::format("\"{}\"", value));
  }
  void seconds(std::string_view name, Duration time) {
    add(name, "doubleValue", fmt::format("{}", std::chrono::duration<double>(time).count()));
  }
  void flag(std::string_view name, bool value) {
    if (value) add(name, "boolValue", "true");
  }
  std::string list() const { return "[" + text_ + "]"; }

 private:
  void add(std::string_view name, std::string_view kind, std::string_view value) {
    text_ += fmt::format("{}{{\"key\":\"{}\",\"value\":{{\"{}\":{}}}}}", text_.empty() ? "" : ",",
                         name, kind, value);
  }
  std::string text_;
};

struct Span {
  std::string_view trace{};
  std::string id{};
  std::string parent{};  // empty: it begins the trace
  bool parent_is_remote = false;
  std::string name{};
  int kind = kServer;
  TimePoint begin{}, end{};
  Attributes attributes{};
  std::optional<std::string> error{};  // it ended badly; a word on that
};

std::string nanoseconds(TimePoint when, const ClockPair& clocks) {
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(
      clocks.wall_of(when).time_since_epoch());
  return fmt::format("\"{}\"", since.count());
}

std::string text_of(const Span& span, const ClockPair& clocks) {
  const int flags = kSampled | kKnowsParent | (span.parent_is_remote ? kParentIsRemote : 0);
  std::string text = fmt::format("{{\"traceId\":\"{}\",\"spanId\":\"{}\",\"flags\":{}", span.trace,
                                 span.id, flags);
  if (!span.parent.empty()) text += fmt::format(",\"parentSpanId\":\"{}\"", span.parent);
  text += fmt::format(",\"name\":{},\"kind\":{},\"startTimeUnixNano\":{},\"endTimeUnixNano\":{}",
                      json_text(span.name), span.kind, nanoseconds(span.begin, clocks),
                      nanoseconds(std::max(span.begin, span.end), clocks));
  text += ",\"attributes\":" + span.attributes.list();
  if (span.error) {
    text += fmt::format(",\"status\":{{\"code\":{},\"message\":{}}}", kError,
                        json_text(*span.error));
  }
  return text + "}";
}

std::string hex(std::uint64_t span) {
  return fmt::format("{:016x}", span);
}

std::string_view trace_of(const RequestRecord& record) {
  return record.traceparent.view().substr(3, 32);
}

// What both kinds of spans tell of the model.
void add_model(const RequestRecord& record, Attributes& attributes) {
  const std::string_view operation = operation_of(record);
  attributes.text("gen_ai.operation.name", operation);
  if (!operation.empty()) attributes.text("gen_ai.provider.name", "vllm");
  if (record.model != nullptr) attributes.text("gen_ai.request.model", *record.model);
  attributes.flag("gen_ai.request.stream", record.streaming);
}

// What the request came to, in a word: its error's code, or the status of an engine's.
std::string error_type(const RequestRecord& record) {
  if (record.error) return std::string(describe(*record.error).code);
  if (record.status >= 400) return std::to_string(record.status);
  return record.has_failed() ? std::string(to_string(record.finish)) : std::string();
}

// As the conventions for servers have it, a fault of the client's is none of the span's.
bool is_our_failure(const RequestRecord& record) {
  return record.has_failed() && record.finish != Finish::kClientError &&
         record.finish != Finish::kClientGone;
}

Span span_of_request(const RequestRecord& record) {
  const std::string_view parent = record.traceparent.view().substr(36, 16);
  Span span{.trace = trace_of(record), .id = hex(record.span)};
  if (!is_no_span(parent)) {
    span.parent = parent;
    span.parent_is_remote = true;
  }
  const std::string_view route = record.is_routed() ? record.route->path : "";
  span.name = fmt::format("{}{}{}", method_of(record), route.empty() ? "" : " ", route);
  span.begin = record.arrival;
  span.end = record.ended;
  Attributes& attributes = span.attributes;
  attributes.text("http.request.method", method_of(record));
  attributes.text("http.route", route);
  if (record.status > 0) attributes.number("http.response.status_code", record.status);
  attributes.number("http.request.body.size", record.bytes_in);
  attributes.text("error.type", error_type(record));
  add_model(record, attributes);
  if (record.streaming && record.first_byte != TimePoint{}) {
    attributes.seconds("gen_ai.response.time_to_first_chunk", record.first_byte - record.arrival);
  }
  attributes.text("batchproxy.request.id", record.id.text());
  attributes.text("batchproxy.request.client_id", record.given_id.view());
  attributes.text("batchproxy.request.key", record.key.view());
  attributes.text("batchproxy.request.result", to_string(record.finish));
  attributes.number("batchproxy.request.prompts", record.prompts);
  attributes.flag("batchproxy.request.of_a_batch", record.background);
  attributes.flag("batchproxy.request.replayed", record.replayed);
  attributes.number("batchproxy.response.bytes", record.bytes_out);
  attributes.number("batchproxy.attempts", record.attempts_made);
  if (const auto queued = record.queued()) attributes.seconds("batchproxy.queue_time", *queued);
  if (is_our_failure(record)) span.error = error_type(record);
  return span;
}

Span span_of_attempt(const AttemptRecord& attempt, const RequestRecord& record) {
  Span span{.trace = trace_of(record),
            .id = hex(span_of(attempt, record)),
            .parent = hex(record.span)};
  const std::string_view operation = operation_of(record);
  span.name = operation.empty() || record.model == nullptr
                  ? fmt::format("{}{}", method_of(record),
                                record.is_routed() ? fmt::format(" {}", record.route->path) : "")
                  : fmt::format("{} {}", operation, *record.model);
  span.kind = kClient;
  span.begin = attempt.granted;
  span.end = attempt.ended == TimePoint{} ? record.ended : attempt.ended;
  Attributes& attributes = span.attributes;
  add_model(record, attributes);
  attributes.text("http.request.method", method_of(record));
  if (attempt.status > 0) attributes.number("http.response.status_code", attempt.status);
  if (attempt.backend != nullptr) {
    attributes.text("batchproxy.backend", *attempt.backend);
    if (const auto at = parse_host_port(*attempt.backend)) {
      attributes.text("server.address", at->host);
      attributes.number("server.port", at->port);
    }
  }
  attributes.number("batchproxy.batch", attempt.batch);
  attributes.number("batchproxy.batch.prompts", attempt.batch_prompts);
  if (attempt.members > 1) {
    attributes.number("batchproxy.merged.members", attempt.members);
    attributes.text("batchproxy.merged.leader", attempt.leader.text());
  }
  attributes.flag("batchproxy.engine_died", attempt.went_down);
  attributes.flag("batchproxy.beside", attempt.beside);
  if (!attempt.is_good()) {
    attributes.text("error.type", end_of(attempt));
    span.error = end_of(attempt);
  }
  return span;
}

std::string resource_of(const SpanSource& source) {
  Attributes attributes;
  attributes.text("service.name", source.service_name);
  attributes.text("service.version", BATCHPROXY_VERSION);
  attributes.text("host.name", source.host_name);
  attributes.number("process.pid", static_cast<std::uint64_t>(source.pid));
  return "{\"attributes\":" + attributes.list() + "}";
}

}  // namespace

std::string to_otlp(std::span<const RequestRecord> records, const SpanSource& source,
                    const ClockPair& clocks) {
  std::string spans;
  const auto add = [&](const Span& span) {
    spans.append(spans.empty() ? "" : ",").append(text_of(span, clocks));
  };
  for (const RequestRecord& record : records) {
    add(span_of_request(record));
    // Two pieces of a list that failed as one would have one span.
    std::set<std::string> ids;
    for (const AttemptRecord& attempt : record.attempts) {
      const Span span = span_of_attempt(attempt, record);
      if (ids.insert(span.id).second) add(span);
    }
  }
  return fmt::format(
      "{{\"resourceSpans\":[{{\"resource\":{},\"scopeSpans\":[{{\"scope\":{{"
      "\"name\":\"batchproxy\",\"version\":\"{}\"}},\"spans\":[{}]}}]}}]}}",
      resource_of(source), BATCHPROXY_VERSION, spans);
}

}  // namespace batchproxy
