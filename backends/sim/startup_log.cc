// backends/sim/startup_log.cc - vLLM's start-up lines, as tools that watch it expect them.
#include "backends/sim/startup_log.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include <unistd.h>

#include "backends/sim/model/hardware.h"

namespace batchproxy::sim {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr double kModelGiB = 13.5e9 / kGiB;

template <class... Args>
std::string format(const char* pattern, Args... args) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), pattern, args...);
  return text.data();
}

// 476016 -> "476,016".
std::string thousands(std::int64_t value) {
  const std::string digits = std::to_string(value);
  std::string grouped;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
    grouped += digits[i];
  }
  return grouped;
}

double kv_gib(std::int64_t tokens) {
  return static_cast<double>(tokens) * kKvBytesPerToken / kGiB;
}

std::string_view process_of(std::string_view where) {
  constexpr std::string_view kOfTheEngine[] = {"core.", "gpu_", "kv_cache"};
  const bool engine = std::ranges::any_of(
      kOfTheEngine, [where](std::string_view prefix) { return where.starts_with(prefix); });
  return engine ? "EngineCore" : "APIServer";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

std::string vllm_log_line(std::string_view level, std::string_view where, std::string_view text,
                          std::time_t now) {
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 32> stamp{};
  std::strftime(stamp.data(), stamp.size(), "%m-%d %H:%M:%S", &local);
  return "(" + std::string(process_of(where)) + " pid=" + std::to_string(::getpid()) + ") " +
         std::string(level) + " " + stamp.data() + " [" + std::string(where) + "] " +
         std::string(text);
}

std::vector<StartupLine> startup_lines(const SimFlags& flags, const EngineSize& size,
                                       const std::string& address,
                                       const std::vector<std::string>& routes) {
  const int gpus = flags.tensor_parallel_size * flags.pipeline_parallel_size;
  std::vector<StartupLine> lines = {
      {0, "sim_engine.cc:1",
       "This is a SIMULATED vLLM engine of batchproxy: no model is loaded, all answers are made "
       "up."},
      {0, "api_utils.py:1", "vLLM, version 0.0.0+simulated." BATCHPROXY_VERSION},
      {0, "api_utils.py:2",
       "non-default args: {'model': '" + flags.model +
           "', 'tensor_parallel_size': " + std::to_string(flags.tensor_parallel_size) +
           ", 'max_model_len': " + std::to_string(size.max_model_len) + "}"}};
  if (!flags.ignored.empty()) {
    lines.push_back({0, "sim_engine.cc:2", "Ignored by the simulation: " + joined(flags.ignored)});
  }
  const std::vector<StartupLine> rest = {
      {0.05, "model.py:1", "Using max model len " + std::to_string(size.max_model_len)},
      {0.05, "scheduler.py:1",
       "Chunked prefill is enabled with max_num_batched_tokens=" +
           std::to_string(size.max_num_batched_tokens) + "."},
      {0.1, "core.py:1",
       "Initializing a V1 LLM engine (v0.0.0+simulated) with config: model='" + flags.model + "'"},
      {0.2, "gpu_model_runner.py:1", "Starting to load model " + flags.model + "..."},
      {0.2, "", "Loading safetensors checkpoint shards:   0% Completed | 0/2 [00:00<?, ?it/s]"},
      {0.4, "",
       "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:00<00:00,  1.00it/s]"},
      {0.6, "",
       "Loading safetensors checkpoint shards: 100% Completed | 2/2 [00:00<00:00,  1.00it/s]"},
      {0.6, "gpu_model_runner.py:2",
       format("Model loading took %.2f GiB memory and %.6f seconds", kModelGiB / gpus,
              flags.load_seconds * 0.4)},
      {0.7, "gpu_worker.py:1",
       format("Available KV cache memory: %.2f GiB", kv_gib(size.kv_tokens) / gpus)},
      {0.7, "kv_cache_utils.py:1",
       "GPU KV cache size: " + thousands(size.kv_tokens) + " tokens, Maximum concurrency for " +
           thousands(size.max_model_len) + " tokens per request: " +
           format("%.2fx", static_cast<double>(size.kv_tokens) / size.max_model_len)},
      {0.9, "gpu_model_runner.py:3", "Graph capturing finished in 0 secs, took 0.00 GiB"},
      {0.95, "core.py:2",
       format("init engine (profile, create kv cache, warmup model) took %.2f seconds",
              flags.load_seconds * 0.35)},
      {1, "api_server.py:2", "Starting vLLM server on http://" + address}};
  lines.insert(lines.end(), rest.begin(), rest.end());
  for (const std::string& route : routes) {
    lines.push_back({1, "launcher.py:1", "Route: " + route});
  }
  lines.push_back({1, "", "INFO:     Application startup complete."});
  return lines;
}

std::vector<std::string> kv_too_small_lines(std::int64_t kv_tokens, int max_model_len,
                                            std::time_t now) {
  if (kv_tokens <= 0) {
    return {vllm_log_line("ERROR", "core.py:3",
                          "ValueError: No available memory for the cache blocks. Try increasing "
                          "`gpu_memory_utilization` when initializing the engine.",
                          now)};
  }
  return {vllm_log_line(
      "ERROR", "core.py:3",
      format("ValueError: To serve at least one request with the model's max seq len (%d), (%.2f "
             "GiB KV cache is needed, which is larger than the available KV cache memory (%.2f "
             "GiB). Based on the available memory, the estimated maximum model length is %d. Try "
             "increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU "
             "backend) or decreasing `max_model_len` when initializing the engine.",
             max_model_len, kv_gib(max_model_len), kv_gib(kv_tokens), static_cast<int>(kv_tokens)),
      now)};
}

}  // namespace batchproxy::sim
