// configs/engine_wish.cc - from launcher.servers and the parallel sizes to engines.
#include "configs/engine_wish.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string_view>
#include <variant>

#include "configs/vllm/arguments.h"

namespace batchproxy {
namespace {

constexpr std::size_t kSimulatedGpus = 8;

// Their product is an engine's number of GPUs.
constexpr std::array<std::string_view, 4> kParallelSizes{
    "tensor_parallel_size", "pipeline_parallel_size", "prefill_context_parallel_size",
    "data_parallel_size"};

std::int64_t size_of(const Arguments& arguments, std::string_view name) {
  return integer_argument(arguments, name, 1);
}

// "tensor_parallel_size 2 x data_parallel_size 4"
std::string shape_text(const Arguments& arguments) {
  std::string text;
  for (const std::string_view name : kParallelSizes) {
    const std::int64_t size = size_of(arguments, name);
    if (size == 1 && !text.empty()) continue;
    text += (text.empty() ? "" : " x ") + std::string(name) + " " + std::to_string(size);
  }
  return text;
}

bool names_parallel_size(const Arguments& arguments) {
  return std::ranges::any_of(kParallelSizes, [&](std::string_view name) {
    return find_argument(arguments, name) != nullptr;
  });
}

const std::vector<ServerOptions>* server_list(const Options& options) {
  return std::get_if<std::vector<ServerOptions>>(&*options.proxy.launcher.servers);
}

bool is_simulated(const Options& options) {
  return *options.proxy.launcher.engine == "sim";
}

bool has_profile(const Options& options, std::string_view word) {
  return *options.proxy.launcher.profile == word;
}

bool is_automatic(const Options& options) {
  return std::holds_alternative<AutoServers>(*options.proxy.launcher.servers);
}

std::string plural(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

// Shares of a GPU's memory: NCCL and the graphs of a group take more beside it.
constexpr const char* kShareOfGroup = "0.85";
constexpr const char* kShareAlone = "0.9";

std::size_t engines_named(const Options& options, std::size_t gpus) {
  if (is_automatic(options)) return gpus;
  if (const auto* number = std::get_if<std::int64_t>(&*options.proxy.launcher.servers)) {
    return static_cast<std::size_t>(*number);
  }
  std::size_t count = 0;
  for (const ServerOptions& server : *server_list(options)) {
    count += static_cast<std::size_t>(*server.count);
  }
  return count;
}

void add_missing(Arguments& arguments, std::string_view name, const std::string& value) {
  if (!find_argument(arguments, name)) arguments.push_back({std::string(name), value});
}

// What the profile says where the file and the flags say nothing. The heads of nearly every model
// can be split by a power of two, and by little else.
void fill_in(Arguments& arguments, const Options& options, std::size_t gpus) {
  if (has_profile(options, "multi")) {
    const std::size_t share = gpus / std::max<std::size_t>(1, engines_named(options, gpus));
    if (share > 1 && !names_parallel_size(arguments)) {
      add_missing(arguments, "tensor_parallel_size", std::to_string(std::bit_floor(share)));
    }
    add_missing(arguments, "gpu_memory_utilization", kShareOfGroup);
  } else if (has_profile(options, "single")) {
    add_missing(arguments, "gpu_memory_utilization", kShareAlone);
  }
}

EngineWish base_wish(const Options& options) {
  const WorkerOptions& worker = options.worker;
  return {worker.hf_model_id->empty() ? *worker.model : *worker.hf_model_id, *worker.model,
          *worker.vllm_args};
}

EngineWish wish_for(const ServerOptions& server, EngineWish wish) {
  if (!server.hf_model_id->empty()) {
    wish.model = *server.hf_model_id;
    wish.second_name.clear();  // the worker file's name belongs to the worker file's model
  }
  if (!server.model->empty()) wish.second_name = *server.model;
  wish.arguments = merge_arguments(wish.arguments, *server.vllm_args);
  return wish;
}

std::size_t needed_gpus(const std::vector<EngineWish>& wishes, const Options& options) {
  std::size_t needed = 0;
  for (const EngineWish& wish : wishes) needed += gpus_of(wish, options);
  return needed;
}

// "4 engines x tensor_parallel_size 2", or one such for each run of equal engines.
std::string shapes_text(const std::vector<EngineWish>& wishes) {
  std::string text;
  for (std::size_t first = 0; first < wishes.size();) {
    const std::string shape = shape_text(wishes[first].arguments);
    std::size_t last = first + 1;
    while (last < wishes.size() && shape_text(wishes[last].arguments) == shape) ++last;
    text += (first == 0 ? "" : " + ") + plural(last - first, "engine") + " x " + shape;
    first = last;
  }
  return text;
}

std::string remedy(const Options& options, std::size_t engines, std::size_t gpus) {
  if (is_simulated(options)) return "raise batchproxy.launcher.gpus or lower tensor_parallel_size";
  if (gpus == 0) return "check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or try --engine sim";
  return engines > 1 ? "lower batchproxy.launcher.servers or tensor_parallel_size"
                     : "lower tensor_parallel_size";
}

// Whether they get any, here or elsewhere.
bool takes_gpus(const Options& options) {
  const LauncherOptions& launcher = options.proxy.launcher;
  if (has_profile(options, "cpu")) return false;
  if (*launcher.engine != "command") return !is_simulated(options);
  const auto uses_gpus = [](const std::string& word) {
    return word.find("{gpus}") != std::string::npos;
  };
  if (is_automatic(options) || std::ranges::any_of(*launcher.command, uses_gpus)) return true;
  if (names_parallel_size(*options.worker.vllm_args)) return true;
  const auto* servers = server_list(options);
  return servers && std::ranges::any_of(*servers, [](const ServerOptions& server) {
           return names_parallel_size(*server.vllm_args);
         });
}

}  // namespace

bool runs_elsewhere(const Options& options) {
  return *options.proxy.launcher.placement != kPlacementWords.front();
}

GpuChoice asked_gpus(const Options& options) {
  const LauncherOptions& launcher = options.proxy.launcher;
  const bool one =
      !launcher.gpu->empty() && launcher.gpu.origin.source >= launcher.gpus.origin.source;
  return one ? GpuChoice(std::vector<std::string>{*launcher.gpu}) : *launcher.gpus;
}

bool names_gpus(const Options& options) {
  return asked_gpus(options) != GpuChoice(std::int64_t{0});
}

bool may_do_without_gpus(const Options& options) {
  return has_profile(options, "auto");
}

void settle_profile(Options& options, std::size_t gpus) {
  if (!has_profile(options, "auto")) return;
  options.proxy.launcher.profile.value = gpus == 0 ? "cpu" : gpus == 1 ? "single" : "multi";
}

bool needs_gpus(const Options& options) {
  return !runs_elsewhere(options) && takes_gpus(options);
}

bool needs_far_gpus(const Options& options) {
  return runs_elsewhere(options) && takes_gpus(options);
}

std::optional<std::size_t> told_gpus(const Options& options) {
  const GpuChoice asked = asked_gpus(options);
  if (const auto* listed = std::get_if<std::vector<std::string>>(&asked)) return listed->size();
  const std::int64_t told = std::get<std::int64_t>(asked);
  if (told > 0) return static_cast<std::size_t>(told);
  if (!is_simulated(options) || runs_elsewhere(options)) return std::nullopt;
  // Nothing real is there that could be too little.
  return std::max(kSimulatedGpus, needed_gpus(wished_engines(options, kSimulatedGpus), options));
}

std::vector<EngineWish> wished_engines(const Options& given, std::size_t gpus) {
  Options options = given;
  settle_profile(options, gpus);
  EngineWish base = base_wish(options);
  fill_in(base.arguments, options, gpus);
  std::vector<EngineWish> wishes;
  if (const auto* servers = server_list(options)) {
    for (const ServerOptions& server : *servers) {
      wishes.insert(wishes.end(), static_cast<std::size_t>(*server.count), wish_for(server, base));
    }
    return wishes;
  }
  std::size_t count = 1;
  if (const auto* number = std::get_if<std::int64_t>(&*options.proxy.launcher.servers)) {
    count = static_cast<std::size_t>(*number);
  } else if (const std::size_t size = gpus_of(base, options); size > 0) {
    count = std::max<std::size_t>(1, gpus / size);
  }
  wishes.assign(count, base);
  return wishes;
}

std::size_t gpus_of(const EngineWish& wish, const Options& options) {
  if (has_profile(options, "cpu") || (!is_simulated(options) && !takes_gpus(options))) return 0;
  std::int64_t product = 1;
  for (const std::string_view name : kParallelSizes) product *= size_of(wish.arguments, name);
  return static_cast<std::size_t>(product);
}

std::string gpu_shortage(const std::vector<EngineWish>& wishes, const Options& options,
                         std::size_t gpus) {
  const std::size_t needed = needed_gpus(wishes, options);
  if (needed <= gpus) return "";
  return "needs " + plural(needed, "GPU") + " (" + shapes_text(wishes) + "), found " +
         (gpus == 0 ? "none" : std::to_string(gpus)) +
         (is_simulated(options) ? " (simulated)" : "") + ": " +
         remedy(options, wishes.size(), gpus);
}

std::string gpus_left_over(const std::vector<EngineWish>& wishes, const Options& options,
                           std::size_t gpus) {
  const std::size_t needed = needed_gpus(wishes, options);
  // One simulated engine of the eight that there could be is not a waste.
  const bool meant = needed == 0 || (is_simulated(options) && !is_automatic(options));
  if (meant || needed >= gpus) return "";
  return std::to_string(gpus - needed) + " of " + plural(gpus, "GPU") +
         " left over: no engine gets them (" + shapes_text(wishes) + ")";
}

}  // namespace batchproxy
