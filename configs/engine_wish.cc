// configs/engine_wish.cc - from launcher.servers and the parallel sizes to engines.
#include "configs/engine_wish.h"

#include <algorithm>
#include <array>
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

bool is_automatic(const Options& options) {
  return std::holds_alternative<AutoServers>(*options.proxy.launcher.servers);
}

std::string plural(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
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

}  // namespace

bool needs_gpus(const Options& options) {
  const LauncherOptions& launcher = options.proxy.launcher;
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

std::optional<std::size_t> told_gpus(const Options& options) {
  const std::int64_t told = *options.proxy.launcher.gpus;
  if (told > 0) return static_cast<std::size_t>(told);
  return is_simulated(options) ? std::optional(kSimulatedGpus) : std::nullopt;
}

std::vector<EngineWish> wished_engines(const Options& options, std::size_t gpus) {
  const EngineWish base = base_wish(options);
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
  if (!is_simulated(options) && !needs_gpus(options)) return 0;
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
