// proxy/wire/trace_context.cc - see trace_context.h.
#include "proxy/wire/trace_context.h"

#include <algorithm>

#include <fmt/format.h>

#include "backends/net/system_random.h"

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

// Spreads the bits (splitmix64).
std::uint64_t mixed(std::uint64_t number) {
  number += 0x9e3779b97f4a7c15;
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
  number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
  return number ^ (number >> 31);
}

std::uint64_t not_zero(std::uint64_t number) {
  return number == 0 ? 1 : number;
}

// Tells the traces of this process from others'.
std::uint64_t of_this_process() {
  static const std::uint64_t chosen = system_random();
  return chosen;
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
  return TraceContext{"00" + std::string(value.substr(2)), not_zero(number)};
}

TraceContext begin_trace(std::uint64_t number) {
  return {fmt::format("00-{:016x}{:016x}-{:016x}-01", not_zero(of_this_process() ^ mixed(number)),
                      mixed(~number), 0),
          not_zero(number)};
}

std::string TraceContext::line_of(std::uint64_t number) const {
  return fmt::format("{}: 00-{}-{:016x}-{}\r\n", kTraceparent, trace_id(), number, flags());
}

std::uint64_t attempt_span(std::uint64_t number, TimePoint granted, std::uint64_t batch) {
  const auto when = static_cast<std::uint64_t>(granted.time_since_epoch().count());
  return not_zero(mixed(mixed(number ^ when) + batch));
}

bool is_sampled(std::string_view traceparent) {
  if (traceparent.size() != kLength) return false;
  const char last = traceparent.back();
  return ((last >= 'a' ? last - 'a' + 10 : last - '0') & 1) != 0;
}

bool is_no_span(std::string_view span) {
  return is_zero(span);
}

}  // namespace batchproxy
