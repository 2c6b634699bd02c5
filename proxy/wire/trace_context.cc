// proxy/wire/trace_context.cc - see trace_context.h.
#include "proxy/wire/trace_context.h"

#include <algorithm>

#include <fmt/format.h>

namespace batchproxy {

namespace {

constexpr std::size_t kLength = 55;  // 00-TRACE-PARENT-FLAGS

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c == '0'; });
}

}  // namespace

std::optional<TraceContext> read_traceparent(std::string_view value, std::uint64_t number) {
  // A later version may say more behind what we know; version ff is forbidden.
  const bool whole = value.size() == kLength ||
                     (value.size() > kLength && value[kLength] == '-' && !value.starts_with("00"));
  if (!whole || value.starts_with("ff")) return std::nullopt;
  value = value.substr(0, kLength);
  const std::string_view version = value.substr(0, 2), trace = value.substr(3, 32),
                         parent = value.substr(36, 16), flags = value.substr(53, 2);
  const bool dashes = value[2] == '-' && value[35] == '-' && value[52] == '-';
  const bool hex = is_hex(version) && is_hex(trace) && is_hex(parent) && is_hex(flags);
  if (!dashes || !hex || is_zero(trace) || is_zero(parent)) return std::nullopt;
  TraceContext context{"00" + std::string(value.substr(2)), number == 0 ? 1 : number, {}};
  context.line = fmt::format("{}: 00-{}-{:016x}-{}\r\n", kTraceparent, context.trace_id(),
                             context.span_number, context.flags());
  return context;
}

}  // namespace batchproxy
