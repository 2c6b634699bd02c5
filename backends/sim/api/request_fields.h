// backends/sim/api/request_fields.h - reading the fields of a JSON body as vLLM does: pydantic's
// lenient types, and vLLM's error objects. Two kinds of refusal, both status 400, differ in their
// `type`: "Bad Request" when the body does not have the schema, "BadRequestError" when it asks for
// something impossible.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace batchproxy::sim {

// Ends the handling of a request with an error reply in vLLM's shape.
struct ApiError : std::runtime_error {
  ApiError(int status_code, std::string error_type, const std::string& message,
           std::string parameter = {})
      : std::runtime_error(message),
        status(status_code),
        type(std::move(error_type)),
        param(std::move(parameter)) {}

  int status;
  std::string type;
  std::string param;  // empty: null
};

// One of pydantic's complaints, e.g. {"int_type", "n", "Input should be a valid integer", value}.
struct Complaint {
  std::string kind;
  std::string at;  // the field, e.g. "prompt.0"; empty: the whole body
  std::string message;
  boost::json::value input;
  std::string context{};  // as Python shows a dict, e.g. "{'ge': 0}"; empty: none
};

// pydantic's refusal: all that it has against a body, at least one complaint.
ApiError schema_errors(const std::vector<Complaint>& complaints);
ApiError schema_error(Complaint complaint);

ApiError bad_request(const std::string& message, std::string parameter = {});

// A bad_request() that repeats the field: "text (parameter=name)", or "(parameter=name,
// value=value)".
ApiError bad_field(const std::string& text, std::string_view name);
ApiError bad_value(const std::string& text, std::string_view name, std::string_view value);

// As Python writes a float: "2.0".
std::string python_float(double value);

boost::json::object parse_object(std::string_view body);

// The field, or nothing if it is absent or null.
const boost::json::value* field(const boost::json::object& body, std::string_view name);

// The fields below are absent when null. Throw ApiError for a wrong type.
const boost::json::value& required_field(const boost::json::object& body, std::string_view name);
bool bool_field(const boost::json::object& body, std::string_view name);
std::optional<std::string> string_field(const boost::json::object& body, std::string_view name);
std::optional<double> real_field(const boost::json::object& body, std::string_view name);

// A string or a list of strings, as a list.
std::vector<std::string> strings_field(const boost::json::object& body, std::string_view name);

// Beyond 64 bits it is the nearest number that fits; `shown` is what stands in the request.
struct Integer {
  std::int64_t value;
  std::string shown;
};
std::optional<Integer> integer_field(const boost::json::object& body, std::string_view name);

// An integer_field() that must be at least `least`. With `named`, the refusal repeats the field.
std::optional<Integer> count_field(const boost::json::object& body, std::string_view name,
                                   std::int64_t least, bool named = true);

}  // namespace batchproxy::sim
