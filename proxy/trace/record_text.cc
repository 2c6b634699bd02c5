// proxy/trace/record_text.cc - see record_text.h.
#include "proxy/trace/record_text.h"

#include <algorithm>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "configs/text/printable.h"
#include "proxy/jobs/json_line.h"

namespace batchproxy {

namespace {

double milliseconds(Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

std::string time_of_day(TimePoint when, const ClockPair& clocks) {
  const auto wall = std::chrono::time_point_cast<std::chrono::milliseconds>(clocks.wall_of(when));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(wall);
  const std::time_t whole = std::chrono::system_clock::to_time_t(seconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(whole), (wall - seconds).count());
}

std::string_view method_of(const RequestRecord& record) {
  if (record.head_only) return "HEAD";
  return record.is_routed() ? record.route->method : "";
}

std::string_view path_of(const RequestRecord& record) {
  return record.is_routed() ? record.route->path : "";
}

TimePoint end_of(const AttemptRecord& attempt, const RequestRecord& record) {
  return attempt.ended == TimePoint{} ? record.ended : attempt.ended;
}

// An object, member by member.
class Object {
 public:
  void text(std::string_view name, std::string_view value) {
    if (!value.empty()) add(name, json_text(value));
  }
  template <class Number>
  void number(std::string_view name, Number value) {
    add(name, fmt::format("{}", value));
  }
  void time(std::string_view name, Duration value) {
    add(name, fmt::format("{:.3f}", milliseconds(value)));
  }
  void flag(std::string_view name, bool value) {
    if (value) add(name, "true");
  }
  void add(std::string_view name, std::string_view value) {
    text_.append(text_.empty() ? "{\"" : ",\"").append(name).append("\":").append(value);
  }
  std::string take() { return std::move(text_) + "}"; }

 private:
  std::string text_;
};

std::string hex(std::uint64_t span) {
  return fmt::format("{:016x}", span);
}

std::string json_of(const AttemptRecord& attempt, const RequestRecord& record) {
  Object json;
  json.text("backend", attempt.backend == nullptr ? "" : *attempt.backend);
  json.time("granted_ms", attempt.granted - record.arrival);
  json.time("ended_ms", end_of(attempt, record) - record.arrival);
  json.text("end", end_of(attempt));
  if (record.traced) json.text("span_id", hex(span_of(attempt, record)));
  json.flag("engine_died", attempt.went_down);
  json.flag("beside", attempt.beside);
  json.number("batch", attempt.batch);
  json.number("batch_prompts", attempt.batch_prompts);
  if (attempt.members > 1) {
    Object merged;
    merged.text("leader", attempt.leader.text());
    merged.number("members", attempt.members);
    json.add("merged", merged.take());
  }
  return json.take();
}

}  // namespace

std::string end_of(const AttemptRecord& attempt) {
  if (attempt.failure == CallFailure::kNone) return std::to_string(attempt.status);
  return std::string(to_string(attempt.failure));
}

std::string to_json(const RequestRecord& record, const ClockPair& clocks) {
  Object json;
  json.text("id", record.id.text());
  json.text("client_id", record.given_id.view());
  json.text("arrival", time_of_day(record.arrival, clocks));
  json.text("method", method_of(record));
  json.text("path", path_of(record));
  json.text("model", record.model == nullptr ? "" : *record.model);
  json.text("key", record.key.view());
  json.number("status", record.status);
  json.text("result", to_string(record.finish));
  if (record.error) json.text("error", describe(*record.error).code);
  json.flag("stream", record.streaming);
  json.flag("of_a_batch", record.background);
  json.flag("replayed", record.replayed);
  json.number("prompts", record.prompts);
  if (const auto queued = record.queued()) json.time("queue_ms", *queued);
  if (record.first_byte != TimePoint{}) {
    json.time("first_byte_ms", record.first_byte - record.arrival);
  }
  json.time("total_ms", record.total());
  json.number("bytes_in", record.bytes_in);
  json.number("bytes_out", record.bytes_out);
  json.number("attempts_made", record.attempts_made);
  std::string attempts;
  for (const AttemptRecord& attempt : record.attempts) {
    attempts.append(attempts.empty() ? "" : ",").append(json_of(attempt, record));
  }
  json.add("attempts", "[" + attempts + "]");
  if (record.traced) {
    const std::string_view parent = record.traceparent.view();
    json.text("trace_id", parent.substr(3, 32));
    json.text("span_id", hex(record.span));
    const std::string_view its = parent.substr(36, 16);
    if (!is_no_span(its)) json.text("parent_span_id", its);
  }
  return json.take();
}

std::string to_line(const RequestRecord& record, const ClockPair& clocks) {
  std::string line = fmt::format("{} {} {}", time_of_day(record.arrival, clocks), record.status,
                                 to_string(record.finish));
  if (record.is_routed()) line += fmt::format(" {} {}", method_of(record), path_of(record));
  const auto add = [&line](std::string_view name, std::string_view value) {
    if (!value.empty()) line.append(" ").append(name).append("=").append(value);
  };
  const auto add_time = [&](std::string_view name, Duration time) {
    add(name, fmt::format("{:.3f}", milliseconds(time)));
  };
  add("id", record.id.text());
  add("client_id", record.given_id.view());
  // A client writes it: a blank in it must not begin another value.
  if (record.model != nullptr) {
    std::string model = printable(*record.model);
    std::ranges::replace(model, ' ', '_');
    add("model", model);
  }
  add("key", record.key.view());
  if (record.error) add("error", describe(*record.error).code);
  if (const auto queued = record.queued()) add_time("queue_ms", *queued);
  if (record.first_byte != TimePoint{}) {
    add_time("first_byte_ms", record.first_byte - record.arrival);
  }
  add_time("total_ms", record.total());
  add("in", std::to_string(record.bytes_in));
  add("out", std::to_string(record.bytes_out));
  if (record.prompts > 1) add("prompts", std::to_string(record.prompts));
  std::string attempts;
  for (const AttemptRecord& attempt : record.attempts) {
    if (!attempts.empty()) attempts += ",";
    attempts +=
        fmt::format("{}:{}", attempt.backend == nullptr ? "?" : *attempt.backend, end_of(attempt));
    if (attempt.members > 1) {
      attempts += fmt::format("/{}of{}", attempt.leader.text(), attempt.members);
    }
  }
  add("attempts", attempts);
  if (record.traced) add("trace", record.traceparent.view().substr(3, 32));
  return line;
}

}  // namespace batchproxy
