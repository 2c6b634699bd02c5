// launcher/memory/engine_flags.cc - each argument's value, or the sentence that refuses it.
#include "launcher/memory/engine_flags.h"

#include <variant>

#include <fmt/format.h>

#include "configs/text/number.h"
#include "configs/vllm/arguments.h"
#include "launcher/memory/model/config_json.h"
#include "launcher/memory/model/memory_size.h"

namespace batchproxy {
namespace {

constexpr std::int64_t kMostGpus = 1024;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 31;
constexpr std::int64_t kMostSequences = 1 << 20;

// Reads one argument after another; the first that is wrong is told.
class Reader {
 public:
  explicit Reader(const Arguments& arguments) : arguments_(arguments) {}

  // The first of these names whose value is not left to vLLM, as it was written.
  std::optional<std::string> text(std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names) {
      const Argument* argument = find_argument(arguments_, name);
      if (argument == nullptr) continue;
      if (const auto* written = std::get_if<std::string>(&argument->value)) return *written;
      if (const auto* json = std::get_if<JsonText>(&argument->value)) return json->text;
    }
    return std::nullopt;
  }

  std::optional<std::int64_t> integer(std::string_view name, std::int64_t most) {
    const auto written = text({name});
    if (!written || *written == "auto" || *written == "-1") return std::nullopt;
    const auto number = parse_human_integer(*written);
    if (number && *number > 0 && *number <= most) return number;
    refuse(name, fmt::format("must be a whole number from 1 to {}", most));
    return std::nullopt;
  }

  std::optional<double> number(std::initializer_list<std::string_view> names, double most) {
    const auto written = text(names);
    if (!written) return std::nullopt;
    const auto value = number_in<double>(*written);
    if (value && *value >= 0 && *value <= most) return value;
    refuse(*names.begin(), fmt::format("must be a number from 0 to {}", most));
    return std::nullopt;
  }

  std::optional<std::int64_t> bytes(std::initializer_list<std::string_view> names) {
    const auto written = text(names);
    if (!written || *written == "auto") return std::nullopt;
    const auto value = parse_memory_size(*written);
    if (value && *value > 0) return value;
    refuse(*names.begin(), "must be a number of bytes, such as 58.11GiB");
    return std::nullopt;
  }

  std::optional<bool> flag(std::string_view name) {
    const Argument* argument = find_argument(arguments_, name);
    if (argument == nullptr) return std::nullopt;
    if (const auto* value = std::get_if<bool>(&argument->value)) return *value;
    return std::nullopt;
  }

  void refuse(std::string_view name, const std::string& sentence) {
    if (!fault.empty()) return;
    fault = std::string(name) + ": " + sentence;
  }

  std::string fault;

 private:
  const Arguments& arguments_;
};

void read_draft(Reader& reader, EngineFlags& flags) {
  const auto written = reader.text({"speculative_config"});
  if (!written) return;
  const ConfigJson json("speculative_config", *written);
  const ConfigObject draft = json.root();
  const std::string method = draft.text({"method"}).value_or("");
  const auto tokens = draft.integer({"num_speculative_tokens"}, 1024).value_or(1);
  if (!json.fault().empty()) {
    if (reader.fault.empty()) reader.fault = json.fault();
  } else if (method.ends_with("mtp")) {
    flags.mtp_tokens = tokens;
  } else if (method != "ngram" && method != "suffix") {
    reader.refuse("speculative_config", "the memory of a draft model of its own is not planned");
  }
}

}  // namespace

Planned<EngineFlags> engine_flags(const Arguments& arguments, Version version) {
  Reader reader(arguments);
  EngineFlags flags;
  flags.version = version;
  flags.gpu_memory_utilization =
      reader.number({"gpu_memory_utilization", "device_memory_utilization"}, 1);
  flags.max_model_len = reader.integer("max_model_len", kMostTokens);
  flags.max_num_seqs = reader.integer("max_num_seqs", kMostSequences);
  flags.max_num_batched_tokens = reader.integer("max_num_batched_tokens", kMostTokens);
  flags.tensor_parallel_size = reader.integer("tensor_parallel_size", kMostGpus);
  flags.pipeline_parallel_size =
      reader.integer("pipeline_parallel_size", kMostGpus).value_or(flags.pipeline_parallel_size);
  flags.data_parallel_size =
      reader.integer("data_parallel_size", kMostGpus).value_or(flags.data_parallel_size);
  flags.kv_cache_dtype = reader.text({"kv_cache_dtype"}).value_or(flags.kv_cache_dtype);
  flags.kv_cache_memory = reader.bytes({"kv_cache_memory_bytes", "kv_cache_memory"});
  flags.cpu_offload = from_gib(reader.number({"cpu_offload_gb"}, 1e6).value_or(0));
  flags.quantization = reader.text({"quantization"}).value_or("");
  flags.dtype = reader.text({"dtype"}).value_or(flags.dtype);
  flags.block_size = reader.integer("block_size", 1 << 16).value_or(flags.block_size);
  flags.enforce_eager = reader.flag("enforce_eager").value_or(false);
  flags.enable_lora = reader.flag("enable_lora").value_or(false);
  flags.enable_prefix_caching = reader.flag("enable_prefix_caching");
  if (reader.flag("no_enable_prefix_caching").value_or(false)) {
    flags.enable_prefix_caching = false;
  }
  read_draft(reader, flags);
  for (const std::string_view name :
       {"decode_context_parallel_size", "prefill_context_parallel_size"}) {
    if (reader.integer(name, kMostGpus).value_or(1) > 1) {
      reader.refuse(name, "there is no formula for a context that is shared out over GPUs");
    }
  }
  if (!reader.fault.empty()) return NotPlanned{reader.fault};
  return flags;
}

std::int64_t dtype_bytes(const EngineFlags& flags) {
  return flags.dtype == "float32" || flags.dtype == "float" ? 4 : 2;
}

}  // namespace batchproxy
