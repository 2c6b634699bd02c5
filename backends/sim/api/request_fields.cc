// backends/sim/api/request_fields.cc - types, conversions and messages of the fields of a body.
#include "backends/sim/api/request_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include <boost/json/parser.hpp>
#include <boost/json/serialize.hpp>

#include "backends/sim/model/tokenizer.h"
#include "configs/text/number.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

constexpr std::size_t kDeepestBody = 500;  // about where Python's reader gives up

std::string shown(double value, const char* format) {
  std::array<char, 400> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

// How vLLM repeats a value: short, and as Python writes it.
std::string repeated(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "None";
    case json::kind::bool_:
      return value.get_bool() ? "True" : "False";
    case json::kind::string:
      return std::string(value.get_string());
    case json::kind::array:
      return "<list of " + std::to_string(value.get_array().size()) + " items>";
    case json::kind::object:
      return "<dict of " + std::to_string(value.get_object().size()) + " items>";
    case json::kind::double_:
      return python_float(value.get_double());
    default:
      return json::serialize(value);
  }
}

std::string place_of(const Complaint& complaint) {
  return complaint.at.empty() ? "body" : "body." + complaint.at;
}

std::string told(const Complaint& complaint) {
  std::string text = "{'type': '" + complaint.kind + "', 'loc': '" + place_of(complaint) +
                     "', 'msg': '" + complaint.message + "', 'input': '" +
                     repeated(complaint.input) + "'";
  if (!complaint.context.empty()) text += ", 'ctx': " + complaint.context;
  return text + "}";
}

// vLLM hears of these from Starlette, without a place.
ApiError unreadable_body() {
  return {400, "Bad Request", "There was an error parsing the body"};
}

ApiError invalid_json(std::size_t position, const std::string& reason) {
  return schema_error({"json_invalid", std::to_string(position), "JSON decode error",
                       json::object(), "{'error': '" + reason + "'}"});
}

Complaint no_number(std::string_view kind, std::string_view name, std::string_view wanted,
                    const json::value& value) {
  Complaint complaint{std::string(kind) + "_type", std::string(name),
                      "Input should be a valid " + std::string(wanted), value};
  if (value.is_string()) {
    complaint.kind = std::string(kind) + "_parsing";
    complaint.message += ", unable to parse string as " +
                         std::string(wanted == "integer" ? "an " : "a ") + std::string(wanted);
  }
  return complaint;
}

// pydantic takes 16.0 for 16, but not 16.5. JSON's large integers are doubles here, too.
Integer integral(double value, std::string_view name) {
  if (!std::isfinite(value)) {
    throw schema_error(
        {"finite_number", std::string(name), "Input should be a finite number", value});
  }
  if (value != std::floor(value)) {
    throw schema_error({"int_from_float", std::string(name),
                        "Input should be a valid integer, got a number with a fractional part",
                        value});
  }
  constexpr double kLimit = 0x1p63;
  const std::int64_t nearest = value >= kLimit    ? std::numeric_limits<std::int64_t>::max()
                               : value <= -kLimit ? std::numeric_limits<std::int64_t>::min()
                                                  : static_cast<std::int64_t>(value);
  return {nearest, shown(value, "%.0f")};
}

}  // namespace

std::string python_float(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  const std::string shortest(text.data(), end);
  const bool whole = shortest.find_first_not_of("-0123456789") == std::string::npos;
  return whole ? shortest + ".0" : shortest;
}

ApiError schema_errors(const std::vector<Complaint>& complaints) {
  std::string text = std::to_string(complaints.size()) +
                     (complaints.size() == 1 ? " validation error:" : " validation errors:");
  for (const Complaint& complaint : complaints) text += "\n  " + told(complaint);
  return {400, "Bad Request", text, place_of(complaints.front())};
}

ApiError schema_error(Complaint complaint) {
  return schema_errors({std::move(complaint)});
}

ApiError bad_field(const std::string& text, std::string_view name) {
  return bad_request(text + " (parameter=" + std::string(name) + ")", std::string(name));
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
  if (body.empty()) throw schema_error({"missing", "", "Field required", nullptr});
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
    throw schema_error({"model_attributes_type", "",
                        "Input should be a valid dictionary or object to extract fields from",
                        value});
  }
  return std::move(value.get_object());
}

const json::value* field(const json::object& body, std::string_view name) {
  const json::value* value = body.if_contains(name);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

const json::value& required_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) {
    throw schema_error({"missing", std::string(name), "Field required", body});
  }
  return *value;
}

bool bool_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return false;
  if (value->is_bool()) return value->get_bool();
  if (*value == 0 || *value == "false") return false;
  if (*value == 1 || *value == "true") return true;
  Complaint complaint{"bool_type", std::string(name), "Input should be a valid boolean", *value};
  if (value->is_string()) {
    complaint.kind = "bool_parsing";
    complaint.message += ", unable to interpret input";
  }
  throw schema_error(std::move(complaint));
}

std::optional<std::string> string_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    throw schema_error(
        {"string_type", std::string(name), "Input should be a valid string", *value});
  }
  return std::string(value->get_string());
}

std::optional<double> real_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) return value->to_number<double>();
  const auto number = value->is_string() ? number_in<double>(value->get_string()) : std::nullopt;
  if (!number) throw schema_error(no_number("float", name, "number", *value));
  return number;
}

std::vector<std::string> strings_field(const json::object& body, std::string_view name) {
  const json::value* value = field(body, name);
  if (value == nullptr) return {};
  if (value->is_string()) return {std::string(value->get_string())};
  const auto is_string = [](const json::value& one) { return one.is_string(); };
  if (!value->is_array() || !std::ranges::all_of(value->get_array(), is_string)) {
    throw schema_errors(
        {{"string_type", std::string(name), "Input should be a valid string", *value},
         {"list_type", std::string(name), "Input should be a valid list", *value}});
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
  if (!number) throw schema_error(no_number("int", name, "integer", *value));
  return Integer{*number, std::to_string(*number)};
}

std::optional<Integer> count_field(const json::object& body, std::string_view name,
                                   std::int64_t least, bool named) {
  std::optional<Integer> count = integer_field(body, name);
  if (count && count->value < least) {
    const std::string text = std::string(name) + " must be at least " + std::to_string(least) +
                             ", got " + count->shown + ".";
    throw named ? bad_value(text, name, count->shown) : bad_request(text);
  }
  return count;
}

}  // namespace batchproxy::sim
