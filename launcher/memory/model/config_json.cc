// launcher/memory/model/config_json.cc - simdjson behind the getters.
#include "launcher/memory/model/config_json.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

namespace batchproxy {

namespace dom = simdjson::dom;

struct ConfigObject::Document {
  std::string file;
  dom::parser parser;
  dom::object root;
  bool has_root = false;
  std::string fault;

  void refuse(const std::string& what) {
    if (fault.empty()) fault = file + ": " + what;
  }
};

struct ConfigObject::Place {
  dom::object object;
  bool exists = false;  // without a document an object must not be asked
  std::string prefix;   // "text_config."
};

namespace {

// Python writes numbers that JSON has no words for; nothing that is read here is one.
std::string without_python_numbers(std::string_view text) {
  std::string json;
  bool is_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const std::string_view rest = text.substr(at);
    if (is_string && text[at] == '\\') {
      json += rest.substr(0, 2);
      ++at;
      continue;
    }
    if (text[at] == '"') is_string = !is_string;
    std::size_t skipped = 0;
    for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
      if (!is_string && skipped == 0 && rest.starts_with(word)) skipped = word.size();
    }
    if (skipped > 0) {
      json += "null";
      at += skipped - 1;
    } else {
      json += text[at];
    }
  }
  return json;
}

std::optional<std::int64_t> whole_number(dom::element value) {
  std::int64_t number = 0;
  if (value.get(number) == simdjson::SUCCESS) return number;
  double real = 0;
  if (value.get(real) != simdjson::SUCCESS || real != std::floor(real)) return std::nullopt;
  if (!(std::fabs(real) < 9e15)) return std::nullopt;
  return static_cast<std::int64_t>(real);
}

// The value of `name`, unless it is missing or null.
std::optional<dom::element> value_of(const dom::object& object, std::string_view name) {
  dom::element value;
  if (object.at_key(name).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

}  // namespace

bool ConfigObject::has(std::string_view name) const {
  return place_->exists && value_of(place_->object, name).has_value();
}

void ConfigObject::refuse(std::string_view name, std::string_view sentence) const {
  document_->refuse(fmt::format("{}{} {}", place_->prefix, name, sentence));
}

std::optional<std::int64_t> ConfigObject::integer(Names names, std::int64_t most) const {
  for (const std::string_view name : names) {
    if (!has(name)) continue;
    const auto number = whole_number(*value_of(place_->object, name));
    if (number && *number >= 0 && *number <= most) return number;
    refuse(name, fmt::format("must be a whole number from 0 to {}", most));
    return std::nullopt;
  }
  return std::nullopt;
}

std::int64_t ConfigObject::required(Names names, std::int64_t most) const {
  const auto number = integer(names, most);
  if (number && *number > 0) return *number;
  refuse(*names.begin(), number ? "must not be 0" : "is missing");
  return 1;  // nothing that is reckoned with it is used
}

std::optional<double> ConfigObject::number(std::string_view name) const {
  if (!has(name)) return std::nullopt;
  double number = 0;
  if (value_of(place_->object, name)->get(number) == simdjson::SUCCESS) return number;
  refuse(name, "must be a number");
  return std::nullopt;
}

std::optional<bool> ConfigObject::flag(std::string_view name) const {
  if (!has(name)) return std::nullopt;
  bool flag = false;
  if (value_of(place_->object, name)->get(flag) == simdjson::SUCCESS) return flag;
  refuse(name, "must be true or false");
  return std::nullopt;
}

std::optional<std::string> ConfigObject::text(Names names) const {
  for (const std::string_view name : names) {
    if (!has(name)) continue;
    std::string_view text;
    if (value_of(place_->object, name)->get(text) == simdjson::SUCCESS) return std::string(text);
    refuse(name, "must be a text");
    return std::nullopt;
  }
  return std::nullopt;
}

std::vector<std::string> ConfigObject::texts(std::string_view name) const {
  std::vector<std::string> all;
  if (!has(name)) return all;
  dom::array array;
  if (value_of(place_->object, name)->get(array) != simdjson::SUCCESS) {
    refuse(name, "must be a list of texts");
    return all;
  }
  for (const dom::element item : array) {
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS) refuse(name, "must be a list of texts");
    all.emplace_back(text);
  }
  return all;
}

std::vector<std::int64_t> ConfigObject::integers(std::string_view name, std::int64_t most) const {
  std::vector<std::int64_t> all;
  if (!has(name)) return all;
  const std::string kind = fmt::format("must be a list of whole numbers from 0 to {}", most);
  dom::array array;
  if (value_of(place_->object, name)->get(array) != simdjson::SUCCESS) {
    refuse(name, kind);
    return all;
  }
  for (const dom::element item : array) {
    const auto number = whole_number(item);
    if (!number || *number < 0 || *number > most) {
      refuse(name, kind);
      continue;
    }
    all.push_back(*number);
  }
  return all;
}

std::optional<ConfigObject> ConfigObject::object(Names names) const {
  for (const std::string_view name : names) {
    if (!has(name)) continue;
    auto place = std::make_shared<Place>();
    if (value_of(place_->object, name)->get(place->object) != simdjson::SUCCESS) {
      refuse(name, "must be an object");
      return std::nullopt;
    }
    place->exists = true;
    place->prefix = fmt::format("{}{}.", place_->prefix, name);
    return ConfigObject(document_, std::move(place));
  }
  return std::nullopt;
}

ConfigJson::ConfigJson(std::string file, std::string_view text)
    : document_(std::make_unique<ConfigObject::Document>()) {
  document_->file = std::move(file);
  dom::element element;
  auto error = document_->parser.parse(simdjson::padded_string(text)).get(element);
  if (error != simdjson::SUCCESS) {
    const simdjson::padded_string plain(without_python_numbers(text));
    if (document_->parser.parse(plain).get(element) == simdjson::SUCCESS) error = simdjson::SUCCESS;
  }
  if (error != simdjson::SUCCESS) {
    document_->refuse(fmt::format("not valid JSON: {}", simdjson::error_message(error)));
  } else if (element.get(document_->root) != simdjson::SUCCESS) {
    document_->refuse("must hold a JSON object");
  } else {
    document_->has_root = true;
  }
}

ConfigJson::~ConfigJson() = default;

ConfigObject ConfigJson::root() const {
  auto place = std::make_shared<ConfigObject::Place>();
  place->object = document_->root;
  place->exists = document_->has_root;
  return ConfigObject(document_.get(), std::move(place));
}

const std::string& ConfigJson::fault() const {
  return document_->fault;
}

}  // namespace batchproxy
