// proxy/wire/trace_context.h - TraceContext: the trace that a client's request is part of, as its
// `traceparent` says (W3C Trace Context), and our own span in it.
//
// Threading: values, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

struct TraceContext {
  std::string_view trace_id() const { return std::string_view(parent).substr(3, 32); }
  std::string_view parent_span() const { return std::string_view(parent).substr(36, 16); }
  std::string_view flags() const { return std::string_view(parent).substr(53, 2); }

  std::string parent;             // the client's, in its form of version 00
  std::uint64_t span_number = 0;  // of our span; never 0
  std::string line;               // our own, as a field line: what the engine does is in our span
};

inline constexpr std::string_view kTraceparent = "traceparent";

// Of the value of `traceparent`; nothing if it is none: then it is passed on as it came, as a
// field that we do not know. `number`: of our span; equal numbers are equal spans.
std::optional<TraceContext> read_traceparent(std::string_view value, std::uint64_t number);

}  // namespace batchproxy
