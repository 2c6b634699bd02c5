// configs/arguments.cc - reading and judging vLLM arguments.
#include "configs/arguments.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "configs/json_text.h"
#include "configs/nearest_name.h"
#include "configs/value_reader.h"

namespace batchproxy {
namespace {

// Common arguments, for near misses only: vLLM has hundreds, and a name not listed here is fine.
const std::vector<std::string_view> kWellKnown{
    "async_scheduling",
    "block_size",
    "chat_template",
    "chat_template_content_format",
    "cpu_offload_gb",
    "data_parallel_size",
    "disable_custom_all_reduce",
    "disable_log_requests",
    "disable_log_stats",
    "distributed_executor_backend",
    "download_dir",
    "dtype",
    "enable_auto_tool_choice",
    "enable_chunked_prefill",
    "enable_expert_parallel",
    "enable_lora",
    "enable_prefix_caching",
    "enforce_eager",
    "generation_config",
    "gpu_memory_utilization",
    "hf_overrides",
    "hf_token",
    "kv_cache_dtype",
    "limit_mm_per_prompt",
    "load_format",
    "lora_modules",
    "max_logprobs",
    "max_lora_rank",
    "max_loras",
    "max_model_len",
    "max_num_batched_tokens",
    "max_num_seqs",
    "max_parallel_loading_workers",
    "max_seq_len_to_capture",
    "no_enable_prefix_caching",
    "override_generation_config",
    "pipeline_parallel_size",
    "quantization",
    "reasoning_parser",
    "revision",
    "rope_scaling",
    "rope_theta",
    "scheduling_policy",
    "seed",
    "speculative_config",
    "swap_space",
    "tensor_parallel_size",
    "tokenizer",
    "tokenizer_mode",
    "tool_call_parser",
    "trust_remote_code",
};

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
  for (const Yaml& item : items) texts.push_back(item.is_scalar() ? item.text : to_json(item));
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
  const auto flag = node.plain ? parse_bool(node.text) : std::nullopt;
  return flag ? ArgumentValue(*flag) : ArgumentValue(node.text);
}

// Both spellings of one argument, or one twice: which of them counts would be anybody's guess.
bool report_repeated(const YamlEntry& entry, const Arguments& earlier, const std::string& path,
                     Findings& findings) {
  const Argument* same = find_argument(earlier, entry.key);
  if (!same) return false;
  findings.error(entry.key_place, same->name == entry.key
                                      ? "duplicate key '" + entry.key + "' in " + path
                                      : path + "." + entry.key + ": the same argument as '" +
                                            same->name + "' above; keep one of them");
  return true;
}

}  // namespace

std::string with_underscores(std::string_view name) {
  std::string spelt(name);
  std::ranges::replace(spelt, '-', '_');
  return spelt;
}

const Argument* find_argument(const Arguments& arguments, std::string_view name) {
  const std::string spelt = with_underscores(name);
  const auto found = std::ranges::find_if(arguments, [&](const Argument& argument) {
    return with_underscores(argument.name) == spelt;
  });
  return found == arguments.end() ? nullptr : &*found;
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
  if (name == "tensor_parallel_size" || name == "pipeline_parallel_size") {
    return group_size_problem(argument.value);
  }
  if (name == "max_num_seqs" || name == "max_num_batched_tokens") {
    return size_problem(argument.value, /*may_be_automatic=*/false);
  }
  if (name == "max_model_len") return size_problem(argument.value, /*may_be_automatic=*/true);
  if (name == "gpu_memory_utilization") return fraction_problem(argument.value);
  return "";
}

std::optional<Arguments> read_arguments(const Yaml& node, const std::string& path,
                                        Findings& findings) {
  if (!node.is_map()) {
    report_unexpected(node, path, "a mapping of vLLM arguments", findings);
    return std::nullopt;
  }
  Arguments arguments;
  for (const YamlEntry& entry : node.entries) {
    if (report_repeated(entry, arguments, path, findings)) continue;
    Argument argument{entry.key, read_argument_value(entry.value)};
    if (const std::string problem = argument_problem(argument); !problem.empty()) {
      findings.error(entry.value.place, path + "." + entry.key + ": " + problem);
    }
    const bool known = std::ranges::count(kWellKnown, with_underscores(entry.key)) > 0;
    if (const auto nearest = nearest_name(entry.key, kWellKnown); nearest && !known) {
      findings.warning(entry.key_place, path + ": vLLM may not know '" + entry.key +
                                            "'; did you mean '" + std::string(*nearest) + "'?");
    }
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

}  // namespace batchproxy
