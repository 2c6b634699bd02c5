// backends/sim/memory.cc - blocks of a KV cache, and vLLM's arithmetic and words of several
// versions.
#include "backends/sim/memory.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include "backends/sim/model/hardware.h"
#include "configs/text/number.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

std::invalid_argument invalid(const std::string& text) {
  return std::invalid_argument("invalid value: '" + text + "'");
}

std::vector<int> integers(std::string_view text, char separator) {
  std::vector<int> numbers;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    const auto number = number_in<int>(text.substr(0, end));
    if (!number || *number < 0) return {};
    numbers.push_back(*number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return numbers;
}

std::optional<int> positive(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  const std::int64_t* number = value != nullptr ? value->if_int64() : nullptr;
  if (number == nullptr || *number <= 0 || *number > 1'000'000'000) return std::nullopt;
  return static_cast<int>(*number);
}

std::string format(const char* pattern, double number) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), pattern, number);
  return text.data();
}

// Since 0.28 as Python's round() does: 16.0, 4.84.
std::string gib_text(double gib, const VllmVersion& version) {
  std::string text = format("%.2f", gib);
  if (!version.is_before(28) && text.ends_with('0')) text.pop_back();
  return text;
}

}  // namespace

ModelShape parse_model_shape(const std::string& text) {
  const std::vector<int> numbers = integers(text, ',');
  if (numbers.size() != 4 || std::ranges::find(numbers, 0) != numbers.end()) throw invalid(text);
  ModelShape shape;
  shape.layers = numbers[0];
  shape.kv_heads = numbers[1];
  shape.head_dim = numbers[2];
  shape.element_bytes = numbers[3];
  return shape;
}

std::optional<ModelShape> read_model_shape(const std::string& model) {
  std::ifstream file(model + "/config.json");
  if (!file) return std::nullopt;
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  boost::system::error_code error;
  const json::value parsed = json::parse(text, error);
  const json::object* config = error ? nullptr : parsed.if_object();
  if (config == nullptr) return std::nullopt;
  const auto layers = positive(*config, "num_hidden_layers");
  const auto heads = positive(*config, "num_attention_heads");
  const auto hidden = positive(*config, "hidden_size");
  if (!layers || !heads || !hidden) return std::nullopt;
  ModelShape shape;
  shape.layers = *layers;
  shape.kv_heads = positive(*config, "num_key_value_heads").value_or(*heads);
  shape.head_dim = positive(*config, "head_dim").value_or(*hidden / *heads);
  shape.max_position =
      positive(*config, "max_position_embeddings").value_or(ModelShape{}.max_position);
  return shape;
}

double parse_gib(const std::string& text) {
  std::string_view digits = text;
  for (const std::string_view unit : {"GiB", "GB", "G"}) {
    if (!digits.ends_with(unit)) continue;
    digits.remove_suffix(unit.size());
    break;
  }
  if (digits.ends_with(' ')) digits.remove_suffix(1);
  const auto gib = number_in<double>(digits);
  if (!gib || !(*gib >= 0) || *gib > 1e6) throw invalid(text);
  return *gib;
}

VllmVersion parse_vllm_version(const std::string& text) {
  const std::vector<int> numbers = integers(text, '.');
  if (numbers.size() < 2 || numbers.size() > 3) throw invalid(text);
  return {numbers[0], numbers[1]};
}

std::int64_t KvMemory::blocks() const {
  const double all = std::floor(gib * kGiB / (bytes_per_token * kKvBlockTokens) + 1e-6);
  return std::max<std::int64_t>(static_cast<std::int64_t>(all) - (version.is_before(33) ? 0 : 1),
                                0);
}

std::int64_t KvMemory::tokens() const {
  return blocks() * kKvBlockTokens;
}

double kv_bytes_per_token(const ModelShape& shape, int gpus, int stages) {
  const double heads = std::max(1, shape.kv_heads / gpus);
  const double layers = std::ceil(static_cast<double>(shape.layers) / stages);
  return 2.0 * layers * heads * shape.head_dim * shape.element_bytes;
}

std::string kv_error(const KvMemory& memory, std::int64_t max_model_len) {
  if (memory.blocks() <= 0) {
    return "ValueError: No available memory for the cache blocks. Try increasing "
           "`gpu_memory_utilization` when initializing the engine.";
  }
  if (max_model_len <= memory.tokens()) return {};
  const VllmVersion& version = memory.version;
  const double needed = static_cast<double>(max_model_len) * memory.bytes_per_token / kGiB;
  const double reserved =
      version.is_before(33) ? 0 : kKvBlockTokens * memory.bytes_per_token / kGiB;
  const std::string unit = version.is_before(8) ? " GB" : " GiB";
  const std::string whose = version.is_before(28) ? "models's" : "model's";
  std::string text = "ValueError: To serve at least one request with the " + whose +
                     " max seq len (" + std::to_string(max_model_len) + "), (" +
                     gib_text(needed, version) + unit +
                     " KV cache is needed, which is larger than the available KV cache memory (" +
                     gib_text(memory.gib - reserved, version) + unit + "). ";
  if (!version.is_before(9)) {
    text += "Based on the available memory, the estimated maximum model length is " +
            std::to_string(memory.tokens()) + ". ";
  }
  text += "Try increasing `gpu_memory_utilization`";
  if (!version.is_before(28)) text += " (which also controls CPU memory on the CPU backend)";
  return text + " or decreasing `max_model_len` when initializing the engine.";
}

}  // namespace batchproxy::sim
