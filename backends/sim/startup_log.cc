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
constexpr const char* kCapturing =
    "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  50%|#####     | 1/2 [00:00<00:00, "
    " 1.00it/s]";
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

std::string_view process_of(std::string_view where) {
  constexpr std::string_view kOfTheEngine[] = {"core.", "gpu_", "kv_cache", "shm_"};
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
      {0.7, "gpu_worker.py:1", format("Available KV cache memory: %.2f GiB", size.kv_gib)},
      {0.75, "kv_cache_utils.py:1",
       "GPU KV cache size: " + thousands(size.kv_tokens) + " tokens, Maximum concurrency for " +
           thousands(size.max_model_len) + " tokens per request: " +
           format("%.2fx", static_cast<double>(size.kv_tokens) / size.max_model_len)},
      {0.78, "", kCapturing},
      {0.9, "gpu_model_runner.py:3", "Graph capturing finished in 0 secs, took 0.00 GiB"},
      {0.95, "core.py:2",
       format("init engine (profile, create kv cache, warmup model) took %.2f seconds",
              flags.load_seconds * 0.35)},
      {1, "api_server.py:2", "Starting vLLM server on http://" + address}};
  lines.insert(lines.end(), rest.begin(), rest.end());
  if (!flags.version.is_before(33)) {  // it tries the graphs before it sizes the KV cache
    const auto at = std::ranges::find_if(lines, [](const auto& line) { return line.after > 0.65; });
    lines.insert(
        at, {{0.65, "", kCapturing},
             {0.65, "gpu_model_runner.py:4", "Graph capturing finished in 0 secs, took 0.00 GiB"}});
  }
  for (const std::string& route : routes) {
    lines.push_back({1, "launcher.py:1", "Route: " + route});
  }
  lines.push_back({1, "", "INFO:     Application startup complete."});
  return lines;
}

std::vector<std::string> failure_lines(const Failure& failure, std::time_t now) {
  constexpr std::string_view kTraceback = "Traceback (most recent call last):";
  const std::string site = "/venv/lib/python3.12/site-packages/vllm/";
  const auto frame = [&site](const std::string& file, const std::string& function) {
    return "  File \"" + site + file + "\", line 1, in " + function;
  };
  std::vector<std::string> inside{std::string(kTraceback)};
  if (failure.ending == Ending::kError) {
    inside.push_back(frame("v1/engine/core.py", "run_engine_core"));
  }
  const std::string file =
      failure.ending == Ending::kError ? "v1/worker/gpu_worker.py" : "entrypoints/launcher.py";
  for (const std::string& function : failure.frames) inside.push_back(frame(file, function));
  inside.push_back(failure.error);

  std::vector<std::string> lines;
  if (failure.ending == Ending::kFrontEnd) return inside;
  if (failure.ending == Ending::kError) {
    lines.push_back(vllm_log_line("ERROR", "core.py:3", "EngineCore failed to start.", now));
    for (const std::string& line : inside) {
      lines.push_back(vllm_log_line("ERROR", "core.py:3", line, now));
    }
    lines.emplace_back("Process EngineCore:");
    lines.insert(lines.end(), inside.begin(), inside.end());
  }
  const std::string status = failure.ending == Ending::kSilent ? "{'EngineCore': -9}" : "{}";
  lines.emplace_back(kTraceback);
  lines.push_back(frame("v1/engine/utils.py", "wait_for_engine_startup"));
  lines.push_back(
      "RuntimeError: Engine core initialization failed. See root cause above. Failed "
      "core proc(s): " +
      status);
  return lines;
}

std::string stall_line(std::time_t now) {
  return vllm_log_line("INFO", "shm_broadcast.py:1",
                       "No available shared memory broadcast block found in 60 seconds. This "
                       "typically happens when some processes are hanging or doing some "
                       "time-consuming work (e.g. compilation, weight/kv cache quantization).",
                       now);
}

std::vector<std::string> death_lines(std::time_t now) {
  return {
      vllm_log_line("WARNING", "core_client.py:1",
                    "[shutdown] MPClient: engine core exited unexpectedly; starting cleanup", now),
      vllm_log_line("ERROR", "async_llm.py:1",
                    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an "
                    "issue. See stack trace (above) for the root cause.",
                    now)};
}

}  // namespace batchproxy::sim
