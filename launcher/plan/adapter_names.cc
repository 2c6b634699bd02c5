// launcher/plan/adapter_names.cc - see adapter_names.h.
#include "launcher/plan/adapter_names.h"

#include <string_view>
#include <variant>

#include <simdjson.h>

#include "configs/text/trim.h"
#include "configs/vllm/arguments.h"

namespace batchproxy {
namespace {

std::string name_in_json(std::string_view text) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view name;
  if (parser.parse(simdjson::padded_string(text)).get(root) != simdjson::SUCCESS) return "";
  return root["name"].get(name) == simdjson::SUCCESS ? std::string(name) : "";
}

std::string name_in(std::string_view item) {
  item = trim(item);
  if (item.starts_with('{')) return name_in_json(item);
  const std::size_t equals = item.find('=');
  return equals == std::string_view::npos ? "" : std::string(item.substr(0, equals));
}

void add(std::string_view item, std::vector<std::string>& names) {
  if (std::string name = name_in(item); !name.empty()) names.push_back(std::move(name));
}

}  // namespace

std::vector<std::string> adapter_names(const Arguments& arguments) {
  std::vector<std::string> names;
  const Argument* modules = find_argument(arguments, "lora_modules");
  if (modules == nullptr) return names;
  if (const auto* text = std::get_if<std::string>(&modules->value)) add(*text, names);
  if (const auto* json = std::get_if<JsonText>(&modules->value)) add(json->text, names);
  if (const auto* list = std::get_if<std::vector<std::string>>(&modules->value)) {
    for (const std::string& item : *list) add(item, names);
  }
  return names;
}

}  // namespace batchproxy
