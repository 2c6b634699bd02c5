// backends/json/raw_json.cc - see raw_json.h.
#include "backends/json/raw_json.h"

namespace batchproxy {

namespace ondemand = simdjson::ondemand;

simdjson::error_code raw_json(ondemand::value& value, std::string_view& raw) {
  ondemand::json_type type;
  if (auto error = value.type().get(type)) return error;
  if (type == ondemand::json_type::array) {
    ondemand::array array;
    if (auto error = value.get_array().get(array)) return error;
    return array.raw_json().get(raw);
  }
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    if (auto error = value.get_object().get(object)) return error;
    return object.raw_json().get(raw);
  }
  raw = value.raw_json_token();  // up to the next token: cut off the blanks before that
  raw = raw.substr(0, raw.find_last_not_of(" \t\r\n") + 1);
  return simdjson::SUCCESS;
}

}  // namespace batchproxy
