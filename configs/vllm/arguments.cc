// configs/vllm/arguments.cc - reading and judging vLLM arguments.
#include "configs/vllm/arguments.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "configs/text/home_path.h"
#include "configs/text/nearest_name.h"
#include "configs/vllm/argument_history.h"
#include "configs/vllm/argument_words.h"
#include "configs/yaml/json_text.h"
#include "configs/yaml/values.h"

namespace batchproxy {
namespace {

struct Owned {
  std::string_view name;
  std::string_view reason;
};
constexpr std::array kOwned{
    Owned{"host", "the engines that batchproxy starts listen on loopback; remove it"},
    Owned{"port", "batchproxy picks the engines' ports; remove it"},
    Owned{"uds", "the engines that batchproxy starts listen on ports; remove it"},
    Owned{"api_key", "batchproxy calls its own engines without a key; remove it"},
    Owned{"model", "the engines load hf_model_id; remove it"},
    Owned{"served_model_name", "set `model` to the name that workers send; remove it"},
};

std::string shown(const ArgumentValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return "'" + *text + "'";
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (std::holds_alternative<std::monostate>(value)) return "nothing";
  return std::holds_alternative<JsonText>(value) ? "a mapping" : "a list";
}

std::string expected(std::string_view what, const ArgumentValue& value) {
  return "expected " + std::string(what) + ", found " + shown(value);
}

std::string group_size_problem(const ArgumentValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  const auto number = text ? parse_integer(*text) : std::nullopt;
  const bool good = number && *number >= 1 && *number <= 1024;
  return good ? "" : expected("a whole number of GPUs from 1 to 1024", value);
}

std::string size_problem(const ArgumentValue& value, bool may_be_automatic) {
  const auto* text = std::get_if<std::string>(&value);
  if (may_be_automatic && text && (*text == "auto" || *text == "-1")) return "";
  const auto number = text ? parse_human_integer(*text) : std::nullopt;
  return number && *number >= 1 ? "" : expected("a whole number from 1 on", value);
}

std::string fraction_problem(const ArgumentValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  const auto number = text ? parse_number(*text) : std::nullopt;
  const bool good = number && *number > 0 && *number <= 1;
  return good ? "" : expected("a number above 0 and up to 1", value);
}

std::vector<std::string> list_texts(const std::vector<Yaml>& items) {
  std::vector<std::string> texts;
  for (const Yaml& item : items) {
    texts.push_back(!item.is_scalar() ? to_json(item)
                    : item.plain      ? without_underscores(item.text)
                                      : item.text);
  }
  return texts;
}

ArgumentValue read_argument_value(const Yaml& node) {
  switch (node.kind) {
    case Yaml::Kind::kNull:
      return std::monostate{};
    case Yaml::Kind::kList:
      return list_texts(node.items);
    case Yaml::Kind::kMap:
      return JsonText{to_json(node)};
    case Yaml::Kind::kScalar:
      break;
  }
  if (!node.plain) return with_home(node.text);
  if (const auto flag = parse_bool(node.text)) return *flag;
  return with_home(without_underscores(node.text));
}

// The argument that a key stands for, or nothing after saying why there is none.
std::optional<std::string> name_of(const YamlEntry& entry, const std::string& path,
                                   Findings& findings) {
  ArgumentName resolved = resolve_argument_name(entry.key);
  if (!resolved.candidates.empty()) {
    findings.error(entry.key_place, path + "." + entry.key +
                                        ": the beginning of several arguments (" +
                                        join(resolved.candidates) + "); write one of them");
    return std::nullopt;
  }
  const std::size_t dashes = std::min(entry.key.find_first_not_of('-'), entry.key.size());
  const bool as_written = resolved.name.starts_with('-');
  if (!as_written &&
      with_underscores(resolved.name) != with_underscores(entry.key.substr(dashes))) {
    findings.notice(entry.key_place, path + "." + entry.key + ": read as " + resolved.name);
  }
  return std::move(resolved.name);
}

// Both spellings of one argument, or one twice: which of them counts would be anybody's guess.
bool report_repeated(const YamlEntry& entry, const std::string& name, const Arguments& earlier,
                     const std::string& path, Findings& findings) {
  const Argument* same = find_argument(earlier, name);
  if (!same) return false;
  findings.error(entry.key_place, same->name == entry.key
                                      ? "duplicate key '" + entry.key + "' in " + path
                                      : path + "." + entry.key + ": the same argument as '" +
                                            same->name + "' above; keep one of them");
  return true;
}

void warn(const YamlEntry& entry, const Argument& argument, const std::string& path,
          Findings& findings) {
  if (const std::string_view nearest = nearest_argument(argument.name); !nearest.empty()) {
    findings.warning(entry.key_place, path + ": vLLM may not know '" + entry.key +
                                          "'; did you mean '" + std::string(nearest) + "'?");
  }
  const ArgumentHistory* row = history_of(argument.name);
  // What has another name in older versions is right there; the launcher knows the version.
  const bool is_of_no_use =
      row != nullptr && row->fate == Fate::kLeftOut && row->gone <= kNewestKnown;
  if (!is_of_no_use || argument.value == ArgumentValue(false)) return;
  findings.warning(entry.key_place, path + "." + entry.key +
                                        ": newer versions of vLLM have dropped it and do not " +
                                        "start with it; " + std::string(row->advice));
}

}  // namespace

const Argument* find_argument(const Arguments& arguments, std::string_view name) {
  const std::string spelt = with_underscores(name);
  const auto found = std::ranges::find_if(arguments, [&](const Argument& argument) {
    return with_underscores(argument.name) == spelt;
  });
  return found == arguments.end() ? nullptr : &*found;
}

Arguments merge_arguments(const Arguments& base, const Arguments& overrides) {
  Arguments merged = base;
  for (const Argument& argument : overrides) {
    const auto same = std::ranges::find_if(merged, [&](const Argument& other) {
      return with_underscores(other.name) == with_underscores(argument.name);
    });
    if (same == merged.end()) {
      merged.push_back(argument);
    } else {
      *same = argument;
    }
  }
  return merged;
}

std::optional<std::int64_t> parse_human_integer(std::string_view text) {
  if (const auto plain = parse_integer(text)) return plain;
  constexpr std::string_view kDecimal = "kmgt";
  constexpr std::string_view kBinary = "KMGT";
  if (text.empty()) return std::nullopt;
  const auto decimal = kDecimal.find(text.back());
  const auto binary = kBinary.find(text.back());
  if (decimal == std::string_view::npos && binary == std::string_view::npos) return std::nullopt;
  const double unit = decimal != std::string_view::npos
                          ? std::pow(1000.0, static_cast<double>(decimal + 1))
                          : std::pow(1024.0, static_cast<double>(binary + 1));
  const auto number = parse_number(text.substr(0, text.size() - 1));
  if (!number || std::abs(*number * unit) > 1e18) return std::nullopt;
  return std::llround(*number * unit);
}

std::string argument_problem(const Argument& argument) {
  const std::string name = with_underscores(argument.name);
  for (const Owned& owned : kOwned) {
    if (name == owned.name) return std::string(owned.reason);
  }
  if (name.ends_with("_parallel_size")) {
    return group_size_problem(argument.value);
  }
  if (name == "max_num_seqs" || name == "max_num_batched_tokens") {
    return size_problem(argument.value, /*may_be_automatic=*/false);
  }
  if (name == "max_model_len") return size_problem(argument.value, /*may_be_automatic=*/true);
  if (name == "gpu_memory_utilization") return fraction_problem(argument.value);
  return "";
}

std::int64_t integer_argument(const Arguments& arguments, std::string_view name,
                              std::int64_t fallback) {
  const Argument* argument = find_argument(arguments, name);
  const auto* text = argument ? std::get_if<std::string>(&argument->value) : nullptr;
  if (!text || *text == "auto" || *text == "-1") return fallback;
  return parse_human_integer(*text).value_or(fallback);
}

std::optional<Arguments> read_arguments(const Yaml& node, const std::string& path,
                                        Findings& findings) {
  const std::optional<Yaml> map = node.is_map() ? node : mapping_of_words(node, path, findings);
  if (!map) return std::nullopt;
  Arguments arguments;
  for (const YamlEntry& entry : map->entries) {
    const auto name = name_of(entry, path, findings);
    if (!name || report_repeated(entry, *name, arguments, path, findings)) continue;
    Argument argument{*name, read_argument_value(entry.value)};
    if (const std::string problem = argument_problem(argument); !problem.empty()) {
      findings.error(entry.value.place, path + "." + entry.key + ": " + problem);
    }
    warn(entry, argument, path, findings);
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

}  // namespace batchproxy
