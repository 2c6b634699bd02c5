// backends/json/form_scan.h - the one look at a multipart/form-data body (RFC 7578): what
// scheduling needs of a form that carries a file.
//
// The bytes are forwarded as they came. A form that is not plain to read is the engine's to refuse:
// here it just names nothing.
//
// Threading: pure functions, any thread.
#pragma once

#include <string_view>

namespace batchproxy {

struct FormScan {
  std::string_view model;  // within the body; empty: not named, or not once
  bool streaming = false;  // `stream` is true, in any of the spellings that pydantic takes
};

// `content_type` is the request's field, with the boundary. Takes one pass over the body, and looks
// at its first hundred parts at most.
FormScan scan_form(std::string_view content_type, std::string_view body);

}  // namespace batchproxy
