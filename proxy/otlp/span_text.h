// proxy/otlp/span_text.h - records of requests as spans: OTLP in its JSON form.
//
// Names are those of OpenTelemetry's conventions: for HTTP (1.41, stable) and for generative AI
// (semantic-conventions-genai of 2026, in development); our own begin with `batchproxy.`.
//
// Threading: pure functions, any thread.
#pragma once

#include <span>
#include <string>

#include "proxy/trace/record_text.h"
#include "proxy/trace/request_record.h"

namespace batchproxy {

// Who sends them.
struct SpanSource {
  std::string service_name;
  std::string host_name{};
  int pid = 0;
};

// The body of a request to a collector: for each record, which is traced, a span of the request and
// one of each attempt.
std::string to_otlp(std::span<const RequestRecord> records, const SpanSource& source,
                    const ClockPair& clocks);

}  // namespace batchproxy
