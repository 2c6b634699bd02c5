// backends/sim/api/request_fields.cc - types, conversions and messages of the fields of a body.
#include "backends/sim/api/request_fields.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include <boost/json/parser.hpp>

#include "backends/sim/model/tokenizer.h"
#include "configs/text/number.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

constexpr std::size_t kDeepestBody = 500;  // about where Python's reader gives up

ApiError invalid_body(const std::string& details, std::string parameter) {
  return {400, "Bad Request", "1 validation error:\n  {" + details + "}", std::move(parameter)};
}

std::string located(std::string_view kind, std::string_view name, std::string_view message) {
  const std::string at = name.empty() ? "" : " '" + std::string(name) + "'";
  return "'type': '" + std::string(kind) + "', 'loc': ('body'," + at + "), 'msg': '" +
         std::string(message) + "'";
}

// vLLM hears of these from Starlette, without a place.
ApiError unreadable_body() {
  return {400, "Bad Request", "There was an error parsing the body"};
}

ApiError invalid_json(std::size_t position, const std::string& reason) {
  const std::string at = std::to_string(position);
  return invalid_body("'type': 'json_invalid', 'loc': ('body', " + at +
                          "), 'msg': 'JSON decode error', 'input': {}, 'ctx': {'error': '" +
                          reason + "'}",
                      "body." + at);
}

std::string shown(double value, const char* format) {
  std::array<char, 400> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

// pydantic takes 16.0 for 16, but not 16.5. JSON's large integers are doubles here, too.
Integer integral(double value, std::string_view name) {
  if (!std::isfinite(value)) {
    throw schema_error("finite_number", name, "Input should be a finite number");
  }
  if (value != std::floor(value)) {
    throw schema_error("int_from_float", name,
                       "Input should be a valid integer, got a number with a fractional part");
  }
  constexpr double kLimit = 0x1p63;
  const std::int64_t nearest = value >= kLimit    ? std::numeric_limits<std::int64_t>::max()
                               : value <= -kLimit ? std::numeric_limits<std::int64_t>::min()
                                                  : static_cast<std::int64_t>(value);
  return {nearest, shown(value, "%.0f")};
}

}  // namespace

ApiError schema_error(std::string_view kind, std::string_view name, std::string_view message) {
  return invalid_body(located(kind, name, message),
                      name.empty() ? "body" : "body." + std::string(name));
}

ApiError validator_error(const std::string& message, std::string_view name) {
  const std::string text = "Value error, " + message + " (parameter=" + std::string(name) + ")";
  return invalid_body(located("value_error", "", text), std::string(name));
}

ApiError bad_request(const std::string& message, std::string parameter) {
  return {400, "BadRequestError", message, std::move(parameter)};
}

ApiError bad_value(const std::string& text, std::string_view name, std::string_view value) {
  return bad_request(
      text + " (parameter=" + std::string(name) + ", value=" + std::string(value) + ")",
      std::string(name));
}

json::object parse_object(std::string_view body) {
  if (body.empty()) throw schema_error("missing", "", "Field required");
  json::parse_options options;
  options.max_depth = kDeepestBody;
  json::parser parser({}, options);
  json::error_code error;
  const std::size_t position = parser.write_some(body, error);
  if (error == json::error::too_deep || (error && valid_utf8(body) != body)) {
    throw unreadable_body();
  }
  if (error) throw invalid_json(position, error.message());
  if (position < body.size()) throw invalid_json(position, "Extra data");
  json::value value = parser.release();
  if (!value.is_object()) {
    throw schema_error("model_attributes_type", "",
                       "Input should be a valid dictionary or object to extract fields from");
  }
  return std::move(value.get_object());
}

const json::value* field(const json::object& body, std::string_view name) {
  const json::value* value = body.if_contains(name);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

const json::value& required_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) throw schema_error("missing", name, "Field required");
  return *value;
}

bool bool_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return false;
  if (value->is_bool()) return value->get_bool();
  if (*value == 0 || *value == "false") return false;
  if (*value == 1 || *value == "true") return true;
  throw schema_error("bool_type", name, "Input should be a valid boolean");
}

std::optional<std::string> string_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string())
    throw schema_error("string_type", name, "Input should be a valid string");
  return std::string(value->get_string());
}

std::optional<double> real_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) return value->to_number<double>();
  const auto number = value->is_string() ? number_in<double>(value->get_string()) : std::nullopt;
  if (!number) throw schema_error("float_type", name, "Input should be a valid number");
  return number;
}

std::vector<std::string> strings_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return {};
  if (value->is_string()) return {std::string(value->get_string())};
  const auto is_string = [](const json::value& one) { return one.is_string(); };
  if (!value->is_array() || !std::ranges::all_of(value->get_array(), is_string)) {
    throw schema_error("string_type", name, "Input should be a valid string or list of strings");
  }
  std::vector<std::string> strings;
  for (const json::value& one : value->get_array()) strings.emplace_back(one.get_string());
  return strings;
}

std::optional<Integer> integer_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return std::nullopt;
  if (value->is_int64()) return Integer{value->get_int64(), std::to_string(value->get_int64())};
  if (value->is_uint64()) {
    return Integer{std::numeric_limits<std::int64_t>::max(), std::to_string(value->get_uint64())};
  }
  if (value->is_double()) return integral(value->get_double(), name);
  if (value->is_bool()) return Integer{value->get_bool(), value->get_bool() ? "1" : "0"};
  const auto number =
      value->is_string() ? number_in<std::int64_t>(value->get_string()) : std::nullopt;
  if (!number) throw schema_error("int_type", name, "Input should be a valid integer");
  return Integer{*number, std::to_string(*number)};
}

std::optional<Integer> count_field(const json::object& body, std::string_view name,
                                   std::int64_t least) {
  std::optional<Integer> count = integer_field(body, name);
  if (count && count->value < least) {
    throw bad_value(std::string(name) + " must be at least " + std::to_string(least) + ", got " +
                        count->shown + ".",
                    name, count->shown);
  }
  return count;
}

}  // namespace batchproxy::sim
