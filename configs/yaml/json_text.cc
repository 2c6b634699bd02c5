// configs/yaml/json_text.cc - writes JSON.
#include "configs/yaml/json_text.h"

#include <string_view>

#include <boost/json/serialize.hpp>

#include "configs/yaml/values.h"

namespace batchproxy {
namespace {

std::string quoted(std::string_view text) {
  return boost::json::serialize(boost::json::string_view(text));
}

// As it is written, where JSON has it: the library would write 0.9 as 9E-1.
std::string number_json(std::string_view text) {
  if (const auto integer = parse_integer(text)) return std::to_string(*integer);
  const auto number = parse_number(text);
  if (!number) return quoted(text);
  // A fraction stays one: Python code that wants a float refuses 2 and takes 2.0.
  const std::string json = number_text(*number);
  return json.find('.') == std::string::npos ? json + ".0" : json;
}

std::string scalar_json(const Yaml& node) {
  if (!node.plain) return quoted(node.text);
  if (const auto flag = parse_bool(node.text)) return *flag ? "true" : "false";
  return number_json(node.text);
}

}  // namespace

std::string to_json(const Yaml& node) {
  std::string json;
  switch (node.kind) {
    case Yaml::Kind::kNull:
      return "null";
    case Yaml::Kind::kScalar:
      return scalar_json(node);
    case Yaml::Kind::kList:
      for (const Yaml& item : node.items) json += (json.empty() ? "" : ",") + to_json(item);
      return "[" + json + "]";
    case Yaml::Kind::kMap:
      for (const YamlEntry& entry : node.entries) {
        json += (json.empty() ? "" : ",") + quoted(entry.key) + ":" + to_json(entry.value);
      }
      return "{" + json + "}";
  }
  return json;
}

}  // namespace batchproxy
