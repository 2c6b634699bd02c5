// proxy/wire/trace_context.h - TraceContext: the trace that a request is part of, and our own spans
// in it (W3C Trace Context).
//
// A request has a span, and so has each attempt to have it answered. What numbers them is known
// anyway, so nothing more is kept of them.
//
// Threading: values, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "batcher/base/time.h"

namespace batchproxy {

struct TraceContext {
  std::string_view trace_id() const { return std::string_view(parent).substr(3, 32); }
  std::string_view parent_span() const { return std::string_view(parent).substr(36, 16); }
  std::string_view flags() const { return std::string_view(parent).substr(53, 2); }
  // As a field line, with its end, for an engine: what that does is in the span `number`.
  std::string line_of(std::uint64_t number) const;

  std::string parent;  // the client's, in its form of version 00; of a trace that begins here its
                       // span is zero
  std::uint64_t span_number = 0;  // of our span; never 0
};

inline constexpr std::string_view kTraceparent = "traceparent";

// Of the value of `traceparent`; nothing if it is none: then it is passed on as it came, as a
// field that we do not know. `number`: of our span; equal numbers are equal spans.
std::optional<TraceContext> read_traceparent(std::string_view value, std::uint64_t number);
// Of a trace that begins here, and is to be kept.
TraceContext begin_trace(std::uint64_t number);

// The span of an attempt within the span `number` of its request: granted then, in that batch.
std::uint64_t attempt_span(std::uint64_t number, TimePoint granted, std::uint64_t batch);
// Of a traceparent in the form of version 00: whether it is to be kept.
bool is_sampled(std::string_view traceparent);
// Whether `span`, of 16 digits, is none.
bool is_no_span(std::string_view span);

}  // namespace batchproxy
