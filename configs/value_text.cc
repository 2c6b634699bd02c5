// configs/value_text.cc - see value_text.h.
#include "configs/value_text.h"

#include <variant>

#include "configs/text/nearest_name.h"
#include "configs/yaml/values.h"

namespace batchproxy {

std::string text_of(bool value) {
  return value ? "true" : "false";
}
std::string text_of(std::int64_t value) {
  return std::to_string(value);
}
std::string text_of(double value) {
  return number_text(value);
}
std::string text_of(Seconds value) {
  return number_text(value.count());
}
std::string text_of(const std::string& value) {
  return value.empty() ? "\"\"" : value;
}
std::string text_of(const std::vector<std::string>& value) {
  return "[" + join({value.begin(), value.end()}) + "]";
}
std::string text_of(const Arguments& value) {
  return value.empty() ? "{}" : "";
}
std::string text_of(const std::vector<BackendOptions>& value) {
  return value.empty() ? "[]" : "";
}
std::string text_of(const Servers& value) {
  if (const auto* count = std::get_if<std::int64_t>(&value)) return std::to_string(*count);
  return std::holds_alternative<AutoServers>(value) ? "auto" : "";
}
std::string text_of(const GpuChoice& value) {
  if (const auto* count = std::get_if<std::int64_t>(&value)) return std::to_string(*count);
  return text_of(std::get<std::vector<std::string>>(value));
}

std::string text_of(const ArgumentValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return text_of(*flag);
  if (const auto* text = std::get_if<std::string>(&value)) return text_of(*text);
  if (const auto* json = std::get_if<JsonText>(&value)) return json->text;
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  return list ? text_of(*list) : "null";
}

}  // namespace batchproxy
