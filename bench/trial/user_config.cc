// bench/trial/user_config.cc - see user_config.h.
#include "bench/trial/user_config.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "bench/advice/trial_config.h"
#include "bench/trial/programs.h"
#include "configs/engine_wish.h"
#include "configs/loader.h"
#include "configs/text/printable.h"
#include "configs/vllm/arguments.h"
#include "configs/yaml/values.h"

namespace batchproxy::bench {

namespace {

constexpr std::size_t kBoxOfGpus = 8;  // where there are none

// Why topologies cannot be tried with such a file; empty: they can.
std::string problem_of(const UserConfig& config) {
  const LauncherOptions& launcher = config.options.proxy.launcher;
  const WorkerOptions& worker = config.options.worker;
  const std::string name = printable(config.name);
  if (worker.hf_model_id->empty() && worker.model->empty()) {
    return name + " names no model: set hf_model_id under model.generator_settings";
  }
  if (std::holds_alternative<std::vector<ServerOptions>>(*launcher.servers)) {
    return name +
           ": batchproxy.launcher.servers lists several kinds of engines, and advise tries one "
           "kind "
           "on all GPUs: give a file with one model and without that list";
  }
  if (*launcher.engine == "command") {
    return name +
           ": batchproxy.launcher.engine is `command`, whose tensor_parallel_size advise does not "
           "know how to set: use `vllm` or `sim`";
  }
  if (*launcher.profile == "cpu") {
    return name + ": batchproxy.launcher.profile is `cpu`, and topologies are about GPUs";
  }
  return "";
}

LoadInputs inputs_of(const std::string& text, const std::string& name) {
  LoadInputs inputs;
  inputs.file = name;
  inputs.text = text;
  inputs.environment = collect_environment();
  return inputs;
}

void add_errors(const LoadResult& loaded, bool (*counts)(const Diagnostic&),
                std::vector<std::string>& problems) {
  for (const Diagnostic& diagnostic : loaded.diagnostics) {
    if (diagnostic.severity != Severity::kError || !counts(diagnostic)) continue;
    problems.push_back(diagnostic.format());
  }
}

}  // namespace

UserConfig read_user_config(const std::string& text, const std::string& name) {
  UserConfig config;
  config.name = name;
  const LoadResult written = load(inputs_of(text, name));
  // What concerns the file as a whole has no line: whether it says which engines to use.
  add_errors(written, [](const Diagnostic& error) { return error.line > 0; }, config.problems);
  Findings findings;
  auto tree = parse_yaml(text, name, findings);
  if (!config.problems.empty() || !tree) return config;
  config.tree = *std::move(tree);
  LoadResult launching = load(inputs_of(launching_config(config.tree), name));
  config.options = std::move(launching.options);
  if (std::string problem = problem_of(config); !problem.empty()) {
    config.problems.push_back("error: " + problem);
  } else {
    add_errors(launching, [](const Diagnostic&) { return true; }, config.problems);
  }
  return config;
}

Box find_box(const BoxWish& wish, const Options& options, const std::string& program) {
  const LauncherOptions& launcher = options.proxy.launcher;
  Box box;
  box.hardware = wish.hardware.empty() ? *launcher.sim_hardware : wish.hardware;
  box.time_scale = wish.time_scale > 0 ? wish.time_scale : *launcher.sim_time_scale;
  const std::optional<std::size_t> told = told_gpus(options);
  if (wish.simulated_gpus > 0 || *launcher.engine == "sim") {
    box.simulated = true;
    box.why = "as asked for";
    box.gpus = wish.simulated_gpus > 0 ? wish.simulated_gpus : told.value_or(kBoxOfGpus);
    return box;
  }
  const std::size_t here = gpus_here(program);
  box.simulated = here == 0;
  box.why = "this machine has no GPU";
  box.gpus = told.value_or(here == 0 ? kBoxOfGpus : here);
  return box;
}

std::size_t stages_of(const Options& options) {
  EngineWish wish = wished_engines(options, 1).front();
  wish.arguments = merge_arguments(wish.arguments, {{"tensor_parallel_size", std::string("1")}});
  return std::max<std::size_t>(1, gpus_of(wish, options));
}

std::vector<Topology> wanted_topologies(const std::vector<std::string>& names, const Box& box,
                                        const Options& options) {
  std::vector<Topology> topologies = topologies_of(box.gpus, stages_of(options));
  std::string known;
  for (const Topology& topology : topologies) {
    known += (known.empty() ? "" : ", ") + folder_of(topology);
  }
  std::erase_if(topologies, [&](const Topology& topology) {
    return !names.empty() && std::ranges::count(names, folder_of(topology)) == 0;
  });
  if (topologies.empty()) {
    throw std::runtime_error(fmt::format("--topology: {} GPUs can be {}", box.gpus,
                                         known.empty() ? "shared out in no way" : known));
  }
  return topologies;
}

WorldOptions world_of(const Topology& topology, const Box& box, const Options& options) {
  const Arguments& arguments = *options.worker.vllm_args;
  WorldOptions world;
  world.gpu = sim::parse_gpu(box.hardware);
  world.servers = topology.engines;
  world.tensor_parallel = topology.tensor_parallel;
  world.max_num_seqs = static_cast<int>(integer_argument(arguments, "max_num_seqs", 0));
  world.max_num_batched_tokens =
      static_cast<int>(integer_argument(arguments, "max_num_batched_tokens", 0));
  const Argument* share = find_argument(arguments, "gpu_memory_utilization");
  const auto* text = share == nullptr ? nullptr : std::get_if<std::string>(&share->value);
  if (text != nullptr) world.gpu_memory_utilization = parse_number(*text).value_or(0.9);
  const Argument* off = find_argument(arguments, "no_enable_prefix_caching");
  world.prefix_caching = off == nullptr || off->value == ArgumentValue(false);
  return world;
}

}  // namespace batchproxy::bench
