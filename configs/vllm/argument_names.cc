// configs/vllm/argument_names.cc - the names we know, and vLLM's short forms of them.
#include "configs/vllm/argument_names.h"

#include <algorithm>
#include <array>
#include <utility>

#include "configs/text/nearest_name.h"

namespace batchproxy {
namespace {

// Common arguments, for near misses and abbreviations: vLLM has hundreds, and a name not listed
// here is fine.
const std::vector<std::string_view> kWellKnown{
    "api_key",
    "api_server_count",
    "async_scheduling",
    "block_size",
    "chat_template",
    "chat_template_content_format",
    "compilation_config",
    "cpu_offload_gb",
    "data_parallel_address",
    "data_parallel_backend",
    "data_parallel_external_lb",
    "data_parallel_hybrid_lb",
    "data_parallel_rank",
    "data_parallel_rpc_port",
    "data_parallel_size",
    "data_parallel_size_local",
    "data_parallel_start_rank",
    "decode_context_parallel_size",
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
    "host",
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
    "model",
    "nnodes",
    "no_enable_prefix_caching",
    "node_rank",
    "override_generation_config",
    "pipeline_parallel_size",
    "port",
    "prefill_context_parallel_size",
    "quantization",
    "reasoning_parser",
    "revision",
    "rope_scaling",
    "rope_theta",
    "scheduling_policy",
    "seed",
    "served_model_name",
    "speculative_config",
    "swap_space",
    "tensor_parallel_size",
    "tokenizer",
    "tokenizer_mode",
    "tokenizer_revision",
    "tool_call_parser",
    "trust_remote_code",
    "uds",
};

struct Short {
  std::string_view written;
  std::string_view name;
};
constexpr std::array kShort{
    Short{"asc", "api_server_count"},
    Short{"cc", "compilation_config"},
    Short{"dcp", "decode_context_parallel_size"},
    Short{"dp", "data_parallel_size"},
    Short{"dpa", "data_parallel_address"},
    Short{"dpb", "data_parallel_backend"},
    Short{"dpe", "data_parallel_external_lb"},
    Short{"dph", "data_parallel_hybrid_lb"},
    Short{"dpl", "data_parallel_size_local"},
    Short{"dpn", "data_parallel_rank"},
    Short{"dpp", "data_parallel_rpc_port"},
    Short{"dpr", "data_parallel_start_rank"},
    Short{"ep", "enable_expert_parallel"},
    Short{"n", "nnodes"},
    Short{"pcp", "prefill_context_parallel_size"},
    Short{"pp", "pipeline_parallel_size"},
    Short{"q", "quantization"},
    Short{"r", "node_rank"},
    Short{"tp", "tensor_parallel_size"},
};

bool is_known(const std::string& name) {
  return std::ranges::count(kWellKnown, name) > 0;
}

}  // namespace

std::string with_underscores(std::string_view name) {
  std::string spelt(name);
  std::ranges::replace(spelt, '-', '_');
  return spelt;
}

ArgumentName resolve_argument_name(std::string_view written) {
  const std::size_t dashes = std::min(written.find_first_not_of('-'), written.size());
  const std::string_view bare = written.substr(dashes);
  const std::string spelt = with_underscores(bare);
  if (const auto found = std::ranges::find(kShort, spelt, &Short::written); found != kShort.end()) {
    return {std::string(found->name), {}};
  }
  if (is_known(spelt) || spelt.empty()) return {std::string(bare), {}};
  std::vector<std::string_view> candidates;
  for (const std::string_view name : kWellKnown) {
    if (name.starts_with(spelt)) candidates.push_back(name);
  }
  // One dash and no name of ours, such as -O3: vLLM knows what it is.
  if (candidates.empty()) return {std::string(dashes == 1 ? written : bare), {}};
  if (candidates.size() == 1) return {std::string(candidates.front()), {}};
  return {"", std::move(candidates)};
}

std::string_view nearest_argument(std::string_view name) {
  if (is_known(with_underscores(name))) return {};
  return nearest_name(name, kWellKnown).value_or(std::string_view());
}

bool is_known_argument(std::string_view written) {
  return is_known(resolve_argument_name(written).name);
}

}  // namespace batchproxy
