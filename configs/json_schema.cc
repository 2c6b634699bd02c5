// configs/json_schema.cc - what each type of key looks like to a validator.
#include "configs/json_schema.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "configs/schema/section.h"
#include "configs/vllm/argument_flags.h"
#include "configs/worker/worker_keys.h"
#include "configs/yaml/values.h"

namespace batchproxy {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

// Words that YAML 1.1 takes for booleans, and YAML 1.2 for text: both read the file.
constexpr std::array kTrueWords{"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"};
constexpr std::array kFalseWords{"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"};
constexpr const char* kWholeText = "^[+-]?[0-9][0-9_]*$";
constexpr const char* kNumberText = "^[+-]?[0-9_]*[.]?[0-9_]+([eE][+-]?[0-9]+)?$";

array types(std::initializer_list<std::string_view> names) {
  array listed;
  for (const std::string_view name : names) listed.emplace_back(name);
  return listed;
}

value number(double figure) {
  const bool whole = std::trunc(figure) == figure && std::abs(figure) < 1e16;
  return whole ? value(static_cast<std::int64_t>(figure)) : value(figure);
}

// A number, or one in quotes.
object number_schema(std::string_view type, const Limits& limits, const char* quoted) {
  object bare{{"type", type}, {"minimum", number(limits.min)}, {"maximum", number(limits.max)}};
  return {{"anyOf", array{std::move(bare), object{{"type", "string"}, {"pattern", quoted}}}}};
}

template <class Section>
object section_schema(const Section& section);

// What a value of that type may be.
object shape(const Key<bool>&) {
  array words;
  for (const auto* each : {&kTrueWords, &kFalseWords}) {
    for (const char* word : *each) words.emplace_back(word);
  }
  return {{"anyOf", array{object{{"type", "boolean"}}, object{{"enum", std::move(words)}}}}};
}
object shape(const Key<std::int64_t>& key) {
  return number_schema("integer", key.limits, kWholeText);
}
object shape(const Key<double>& key) {
  return number_schema("number", key.limits, kNumberText);
}
object shape(const Key<Seconds>& key) {
  return number_schema("number", key.limits, kNumberText);
}
object shape(const Key<std::string>& key) {
  const auto& words = key.limits.words;
  // A number without quotes is text, too, and nothing is as good as no key.
  if (words.empty()) return {{"type", types({"string", "number", "null"})}};
  array allowed;
  for (const std::string_view word : words) {
    allowed.emplace_back(word);
    if (const auto truth = parse_bool(word)) allowed.emplace_back(*truth);
  }
  allowed.emplace_back(nullptr);
  return {{"enum", std::move(allowed)}};
}
object shape(const Key<std::vector<std::string>>&) {
  return {{"type", types({"array", "null"})},
          {"items", object{{"type", types({"string", "number", "boolean"})}}}};
}
object shape(const Key<Arguments>&) {
  object known;
  for (const ArgumentFlag& row : kArgumentFlags) {
    if (known.contains(row.argument)) continue;
    known[row.argument] = object{{"description", row.flag.help}};
  }
  return {{"type", types({"object", "array", "string", "null"})}, {"properties", std::move(known)}};
}
object shape(const Key<std::vector<BackendOptions>>&) {
  object entry = section_schema(BackendOptions{});
  entry["type"] = "object";
  entry["required"] = types({"url"});
  object url{{"type", "string"}, {"description", "Short for `url:`."}};
  return {{"type", types({"array", "null"})},
          {"items", object{{"anyOf", array{std::move(url), std::move(entry)}}}}};
}
object shape(const Key<Servers>& key) {
  array forms = number_schema("integer", key.limits, kWholeText).at("anyOf").as_array();
  forms.emplace_back(object{{"enum", types({"auto"})}});
  forms.emplace_back(
      object{{"type", "array"}, {"minItems", 1}, {"items", section_schema(ServerOptions{})}});
  return {{"anyOf", std::move(forms)}};
}
object shape(const Key<GpuChoice>& key) {
  array forms = number_schema("integer", key.limits, kWholeText).at("anyOf").as_array();
  forms.emplace_back(object{{"type", "string"}, {"pattern", "^(GPU-|MIG-|.*,|[0-9]+-[0-9]+$)"}});
  forms.emplace_back(object{{"type", "array"},
                            {"minItems", 1},
                            {"items", object{{"type", types({"string", "integer"})}}}});
  return {{"anyOf", std::move(forms)}};
}

// The default, of types that have one worth telling.
std::optional<value> default_of(bool usual) {
  return value(usual);
}
std::optional<value> default_of(std::int64_t usual) {
  return value(usual);
}
std::optional<value> default_of(double usual) {
  return number(usual);
}
std::optional<value> default_of(Seconds usual) {
  return number(usual.count());
}
std::optional<value> default_of(const std::string& usual) {
  if (usual.empty()) return std::nullopt;
  return value(usual);
}
template <class... Form>
std::optional<value> default_of(const std::variant<std::int64_t, Form...>& usual) {
  return value(std::get<std::int64_t>(usual));
}
template <class Item>
std::optional<value> default_of(const std::vector<Item>&) {
  return std::nullopt;
}

template <class T>
object member_schema(const Key<T>& key) {
  object made{{"description", key.help}};
  if (const auto usual = default_of(key.value)) made["default"] = *usual;
  for (auto& [name, part] : shape(key)) made[name] = part;
  return made;
}
template <class Section>
object member_schema(const Section& section) {
  return section_schema(section);
}

template <class Section>
object properties_of(const Section& section) {
  object properties;
  for_each_member(section, [&properties](const auto& member) {
    properties[name_of(member)] = member_schema(member);
  });
  return properties;
}

// A mapping of ours, in which every key is known.
template <class Section>
object section_schema(const Section& section) {
  return {{"type", types({"object", "null"})},
          {"additionalProperties", false},
          {"properties", properties_of(section)}};
}

// The workers' own file: what is not ours is theirs.
object root_schema() {
  const Options defaults;
  const object shared{{"$ref", "#/definitions/shared"}};
  const object all = properties_of(defaults.worker);
  const auto some = [&all](const std::vector<std::string_view>& names) {
    object chosen;
    for (const std::string_view name : names) chosen[name] = all.at(name);
    return chosen;
  };
  object properties{
      {"model", object{{"allOf", array{shared, object{{"properties",
                                                       object{{"generator_settings", shared}}}}}}}},
      {"generator_settings", shared},
      {"processing", object{{"properties", some({"parallel_workers"})}}}};
  for (auto& [name, schema] : some(bare_worker_names())) properties[name] = schema;
  properties["batchproxy"] = section_schema(defaults.proxy);
  return {{"$schema", "http://json-schema.org/draft-07/schema#"},
          {"title", "batchproxy.yaml"},
          {"description",
           "The scoring workers' own file, with a section `batchproxy` for what is batchproxy's."},
          {"type", "object"},
          {"definitions", object{{"shared", object{{"properties", all}}}}},
          {"properties", std::move(properties)}};
}

bool is_short(const value& part) {
  const auto is_plain = [](const value& each) { return each.is_primitive(); };
  return part.is_primitive() ||
         (part.is_array() && std::ranges::all_of(part.as_array(), is_plain)) ||
         (part.is_object() && part.as_object().empty());
}

// As people write it: a line for each member, what is short on one.
void write(const value& part, const std::string& indent, std::string& text) {
  if (is_short(part)) {
    text += boost::json::serialize(part);
    return;
  }
  const std::string deeper = indent + " ";
  const char* between = "";
  if (part.is_array()) {
    text += '[';
    for (const value& item : part.as_array()) {
      text += between + ("\n" + deeper);
      write(item, deeper, text);
      between = ",";
    }
    text += "\n" + indent + "]";
    return;
  }
  text += '{';
  for (const auto& [name, member] : part.as_object()) {
    text += between + ("\n" + deeper) + boost::json::serialize(value(name)) + ": ";
    write(member, deeper, text);
    between = ",";
  }
  text += "\n" + indent + "}";
}

}  // namespace

std::string json_schema() {
  std::string text;
  write(root_schema(), "", text);
  return text + "\n";
}

}  // namespace batchproxy
