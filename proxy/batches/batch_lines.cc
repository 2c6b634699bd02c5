// proxy/batches/batch_lines.cc - see batch_lines.h.
#include "proxy/batches/batch_lines.h"

#include <fmt/format.h>

#include "proxy/jobs/json_line.h"

namespace batchproxy {

namespace {

std::string quoted(std::string_view text) {
  return json_text(text);
}

std::string line(std::string_view id, std::string_view key, std::string_view response,
                 std::string_view error) {
  return fmt::format("{{\"id\":\"{}\",\"custom_id\":{},\"response\":{},\"error\":{}}}\n", id,
                     quoted(key), response, error);
}

std::string error_of(std::string_view code, std::string_view message) {
  return fmt::format("{{\"code\":\"{}\",\"message\":{}}}", code, quoted(message));
}

}  // namespace

std::string batch_line(std::string_view id, const ItemOutcome& outcome) {
  if (outcome.status == 0) {
    return line(id, outcome.key, "null", error_of("no_answer", outcome.answer));
  }
  const std::string response =
      fmt::format("{{\"status_code\":{},\"request_id\":\"{}\",\"body\":{}}}", outcome.status, id,
                  json_value(outcome.answer));
  return line(id, outcome.key, response, "null");
}

std::string expired_line(std::string_view id, std::string_view key) {
  return line(id, key, "null",
              error_of("batch_expired",
                       "This request could not be executed before the completion window expired."));
}

std::string refused_line(std::string_view id, std::string_view why) {
  return fmt::format("{{\"id\":\"{}\",\"custom_id\":null,\"response\":null,\"error\":{}}}\n", id,
                     error_of("invalid_json_line", why));
}

}  // namespace batchproxy
