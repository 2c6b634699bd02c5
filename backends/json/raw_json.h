// backends/json/raw_json.h - JSON values as the bytes that they are written in.
//
// Threading: pure functions, any thread.
#pragma once

#include <string_view>

#include <simdjson.h>

namespace batchproxy {

// The bytes of `value` within its document, which is left behind it.
simdjson::error_code raw_json(simdjson::ondemand::value& value, std::string_view& raw);

}  // namespace batchproxy
