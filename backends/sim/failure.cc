// backends/sim/failure.cc - the table of failures.
#include "backends/sim/failure.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace batchproxy::sim {
namespace {

struct Row {
  std::string_view word;
  double after;
  Ending ending;
  std::vector<std::string> frames;
  std::string_view error;
  bool (*is_avoided)(const SimFlags& flags);
};

bool never(const SimFlags&) {
  return false;
}

bool is_set(const char* name, std::string_view value) {
  const char* text = std::getenv(name);
  return text != nullptr && value == text;
}

// The engine asks for less memory than vLLM does by itself.
bool is_modest(const SimFlags& flags) {
  return flags.gpu_memory_utilization < 0.88;
}

constexpr std::string_view kOutOfMemory =
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 786.00 MiB. GPU 0 has a total "
    "capacity of 79.19 GiB of which 412.06 MiB is free.";

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows{
      {"free-memory",
       0.15,
       Ending::kError,
       {"init_device", "request_memory"},
       "ValueError: Free memory on device cuda:0 (60.87/79.19 GiB) on startup is less than desired "
       "GPU memory utilization (0.9, 71.27 GiB). Decrease GPU memory utilization or reduce GPU "
       "memory used by other processes.",
       [](const SimFlags& flags) { return flags.gpu_memory_utilization < 0.76; }},
      {"nccl",
       0.15,
       Ending::kError,
       {"init_device", "init_distributed_environment"},
       "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
       [](const SimFlags&) { return is_set("NCCL_P2P_DISABLE", "1"); }},
      {"oom-load",
       0.4,
       Ending::kError,
       {"load_model", "initialize_model"},
       kOutOfMemory,
       [](const SimFlags& flags) { return flags.tensor_parallel_size > 1; }},
      {"oom-profile",
       0.65,
       Ending::kError,
       {"determine_available_memory", "profile_run"},
       kOutOfMemory,
       [](const SimFlags& flags) {
         return flags.max_num_batched_tokens && *flags.max_num_batched_tokens <= 4096;
       }},
      {"no-nvcc",
       0.65,
       Ending::kError,
       {"profile_run", "flashinfer_sample"},
       "RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist",
       [](const SimFlags&) { return is_set("VLLM_USE_FLASHINFER_SAMPLER", "0"); }},
      {"kv-none",
       0.7,
       Ending::kError,
       {"determine_available_memory", "check_enough_kv_cache_memory"},
       "ValueError: No available memory for the cache blocks. Try increasing "
       "`gpu_memory_utilization` when initializing the engine.",
       [](const SimFlags& flags) { return flags.gpu_memory_utilization > 0.92; }},
      {"mamba-blocks",
       0.8,
       Ending::kError,
       {"initialize_from_config", "capture_model"},
       "ValueError: max_num_seqs (1024) exceeds available Mamba cache blocks (600). Each decode "
       "sequence requires one Mamba cache block, so CUDA graph capture cannot proceed. Please "
       "lower "
       "max_num_seqs to at most 600 or increase gpu_memory_utilization.",
       [](const SimFlags& flags) { return flags.max_num_seqs && *flags.max_num_seqs <= 600; }},
      {"oom-capture",
       0.8,
       Ending::kError,
       {"compile_or_warm_up_model", "capture_model"},
       "RuntimeError: CUDA error: out of memory",
       is_modest},
      {"oom-sampler",
       0.85,
       Ending::kError,
       {"compile_or_warm_up_model", "_dummy_sampler_run"},
       "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy "
       "requests. "
       "Please try lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the "
       "engine.",
       [](const SimFlags& flags) { return flags.max_num_seqs && *flags.max_num_seqs <= 512; }},
      {"port-taken",
       0,
       Ending::kFrontEnd,
       {"setup_server", "create_server_socket"},
       "OSError: [Errno 98] Address already in use",
       never},
      {"unknown",
       0.5,
       Ending::kError,
       {"load_model", "load_weights"},
       "RuntimeError: the flux capacitor is not charged",
       never},
      {"hang-loading", 0.4, Ending::kHang, {}, "", never},
      {"killed", 0.5, Ending::kSilent, {}, "", never},
  };
  return kRows;
}

const Row* row_of(const SimFlags& flags) {
  const auto row = std::ranges::find(rows(), std::string_view(flags.fail), &Row::word);
  return row == rows().end() ? nullptr : &*row;
}

// Whether `path` is not there yet; then it is.
bool is_first_time(const std::string& path) {
  if (std::ifstream(path).is_open()) return false;
  std::ofstream(path) << "failed\n";
  return true;
}

}  // namespace

std::vector<std::string_view> failure_words() {
  std::vector<std::string_view> words;
  for (const Row& row : rows()) words.push_back(row.word);
  return words;
}

bool does_fail(const SimFlags& flags) {
  const Row* row = row_of(flags);
  if (row == nullptr || row->is_avoided(flags)) return false;
  return flags.fail_once.empty() || is_first_time(flags.fail_once);
}

Failure failure_of(const SimFlags& flags) {
  const Row* row = row_of(flags);
  if (row == nullptr) return {};
  return {row->after, row->ending, row->frames, std::string(row->error)};
}

Failure kv_failure(std::string error) {
  return {0.72,
          Ending::kError,
          {"_initialize_kv_caches", "get_kv_cache_configs", "check_enough_kv_cache_memory"},
          std::move(error)};
}

}  // namespace batchproxy::sim
