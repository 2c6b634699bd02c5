// proxy/jobs/json_line.h - what an engine has said, as JSON for a line of answers.
//
// Threading: any thread.
#pragma once

#include <string>
#include <string_view>

namespace batchproxy {

// As a JSON text; bytes that are no UTF-8 become question marks.
std::string json_text(std::string_view text);
// A body as a JSON value on one line; as a text if it is no JSON.
std::string json_value(const std::string& body);

}  // namespace batchproxy
