// proxy/wire/passed_fields.h - PassedFields: which header fields go through, in either direction.
//
// All others end here. Those about the connection, the body's framing and keys are written afresh.
//
// Threading: values, any thread.
#pragma once

#include <string>
#include <vector>

#include "backends/http/field_filter.h"

namespace batchproxy {

struct PassedFields {
  // `more`: batchproxy.pass_headers, which the configuration has checked.
  explicit PassedFields(const std::vector<std::string>& more = {});

  http::FieldFilter request;  // of a client
  http::FieldFilter answer;   // of a backend, besides kKeptFields (backends/call/answer_head.h)
};

}  // namespace batchproxy
