// proxy/commands/plan.cc - batchproxy plan [MODEL]: how an engine would share out the memory of its
// GPUs, before anything is loaded.
#include <algorithm>
#include <array>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "configs/engine_wish.h"
#include "configs/schema/backend_source.h"
#include "configs/sources/environment.h"
#include "configs/text/home_path.h"
#include "configs/text/number.h"
#include "configs/text/ranges.h"
#include "configs/vllm/arguments.h"
#include "launcher/gpus/inventory_reader.h"
#include "launcher/gpus/visible_devices.h"
#include "launcher/memory/plan_gpu.h"
#include "launcher/memory/plan_report.h"
#include "launcher/memory/plan_text.h"
#include "launcher/repair/remember.h"
#include "proxy/commands/commands.h"

namespace batchproxy {

namespace {

// Flags of `vllm serve` that change the plan; they go over what the configuration has.
struct EngineFlag {
  const char* name;
  const char* argument;  // as vllm_args name it
  const char* takes;     // nullptr: nothing
  const char* help;
};
constexpr std::array kEngineFlags{
    EngineFlag{"--tensor-parallel-size", "tensor_parallel_size", "N", "GPUs of a pipeline stage"},
    EngineFlag{"--pipeline-parallel-size", "pipeline_parallel_size", "N", "Pipeline stages"},
    EngineFlag{"--max-model-len", "max_model_len", "TOKENS", "The context"},
    EngineFlag{"--gpu-memory-utilization,--gpu-memory", "gpu_memory_utilization", "PART",
               "Part of each GPU for the engine"},
    EngineFlag{"--max-num-seqs", "max_num_seqs", "N", "Most requests at once"},
    EngineFlag{"--max-num-batched-tokens", "max_num_batched_tokens", "N", "Most tokens of a step"},
    EngineFlag{"--kv-cache-memory", "kv_cache_memory_bytes", "SIZE",
               "KV cache of each GPU, as 58.11GiB"},
    EngineFlag{"--kv-cache-dtype", "kv_cache_dtype", "TYPE", "fp8 and the like"},
    EngineFlag{"--cpu-offload-gb", "cpu_offload_gb", "GIB", "Weights kept in the host's memory"},
    EngineFlag{"--quantization", "quantization", "NAME", "What the weights are loaded as"},
    EngineFlag{"--dtype", "dtype", "TYPE", "float32, or any of 16 bits"},
    EngineFlag{"--block-size", "block_size", "TOKENS", "Tokens of a block of the KV cache"},
    EngineFlag{"--speculative-config", "speculative_config", "JSON", "With MTP layers"},
    EngineFlag{"--enforce-eager", "enforce_eager", nullptr, "No CUDA graphs"},
    EngineFlag{"--no-enable-prefix-caching", "no_enable_prefix_caching", nullptr,
               "No prefix caching"},
};

struct PlanFlags {
  std::string model;
  Arguments engine;
  std::string engine_version;
  std::string weights;
  std::string assumed;
  std::string gpus;
  std::optional<std::int64_t> gpu;
  std::optional<std::int64_t> count;
  bool json = false;
  bool forget = false;
};

// A value, or the sentence for stderr.
using Refusal = std::string;

// The different engines of the configuration, each once; one without a model without it.
Refusal read_engines(const CommandLine& arguments, std::vector<EngineWish>& engines) {
  if (arguments.config.empty()) {
    engines.emplace_back();
    return "";
  }
  const LoadResult loaded = load_options(arguments);
  print(loaded.diagnostics);
  if (!loaded.ok()) return "the configuration cannot be used";
  for (EngineWish& engine : wished_engines(loaded.options, 0)) {
    const bool is_known = std::ranges::any_of(engines, [&engine](const EngineWish& other) {
      return other.model == engine.model && other.arguments == engine.arguments;
    });
    if (!is_known) engines.push_back(std::move(engine));
  }
  if (engines.empty()) engines.emplace_back();
  return "";
}

// What to plan for one of them: the command line's word counts over the configuration's.
Refusal read_wish(const EngineWish& engine, const PlanFlags& flags, PlanWish& wish) {
  wish.model = flags.model.empty() ? engine.model : flags.model;
  if (wish.model.empty()) return "which model? Give one, or --config FILE with hf_model_id";
  Version version = kNewestKnown;
  if (!flags.engine_version.empty()) {
    const auto told = parse_version(flags.engine_version);
    if (!told) return "--engine-version: expected one such as 0.33.0";
    version = *told;
  }
  auto read = engine_flags(merge_arguments(engine.arguments, flags.engine), version);
  if (!read) return read.error().reason;
  wish.flags = *std::move(read);
  if (flags.weights.empty()) return "";
  wish.weights_per_gpu = parse_memory_size(flags.weights);
  return wish.weights_per_gpu ? "" : "--weights-memory: expected a size such as 14.99GiB";
}

// The indices of "4,5,6,7" or "4-7"; nothing if they are none.
std::optional<std::vector<int>> parse_indices(std::string text) {
  std::vector<int> indices;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    for (const std::string& item : expand_range(text.substr(0, comma))) {
      const auto index = number_in<int>(item);
      if (!index || *index < 0 || std::ranges::count(indices, *index) > 0) return std::nullopt;
      indices.push_back(*index);
    }
    text = comma == std::string::npos ? "" : text.substr(comma + 1);
  }
  return indices;
}

// The GPUs of this machine that engines may get.
OrError<PlanGpus> gpus_here() {
  const auto inventory = read_inventory([](unsigned) { return std::string(); });
  if (!inventory) return inventory.error();
  const OurGpus ours = our_gpus(*inventory, visible_variables(process_environment()));
  if (!ours.problem.empty()) return LaunchError{ours.problem};
  PlanGpus gpus = plan_gpus(*inventory, ours.gpus);
  if (gpus.empty()) return LaunchError{"no GPU of this machine is ours"};
  return gpus;
}

// The GPUs to choose from, and how many of them.
Refusal read_gpus(const PlanFlags& flags, PlanWish& wish) {
  std::string list = flags.gpus;
  if (flags.gpu) list = std::to_string(*flags.gpu);
  if (!flags.assumed.empty()) {
    auto assumed = assumed_gpus(flags.assumed);
    if (!assumed) return assumed.error().reason;
    wish.pool = *std::move(assumed);
  } else if (auto here = gpus_here()) {
    wish.pool = *std::move(here);
  } else if (!wish.flags.kv_cache_memory) {
    return here.error().text +
           "; for GPUs that are not here, describe them: --assume-gpus 8xH100-80GB";
  }
  if (!list.empty()) {
    const auto wanted = parse_indices(list);
    if (!wanted) return "--gpus: expected indices such as 4,5,6,7";
    PlanGpus chosen;
    for (const int index : *wanted) {
      const auto found = std::ranges::find(wish.pool, index, &PlanGpu::index);
      if (found != wish.pool.end()) {
        chosen.push_back(*found);
      } else if (!wish.pool.empty()) {
        return fmt::format("--gpus: GPU {} is none of the {} that can be planned for", index,
                           wish.pool.size());
      }
    }
    wish.pool = std::move(chosen);
    wish.gpus = static_cast<std::int64_t>(wanted->size());
  }
  if (flags.count) wish.gpus = flags.count;
  if (wish.gpus && *wish.gpus < 1) return "--num-gpus: at least one";
  return "";
}

int refuse(const Refusal& refusal) {
  std::cerr << "error: " << refusal << '\n';
  return kUsage;
}

// So that the next start of these models is one without repairs.
int forget(const std::vector<EngineWish>& engines, const PlanFlags& flags) {
  for (const EngineWish& engine : engines) {
    const std::string model = with_home(flags.model.empty() ? engine.model : flags.model);
    if (model.empty()) return refuse("which model? Give one, or --config FILE with hf_model_id");
    const ForgottenRepairs forgotten = forget_repairs(repairs_file(), model);
    if (!forgotten.warning.empty()) std::cerr << "warning: " << forgotten.warning << '\n';
    std::cout << fmt::format("{}: {} repairs forgotten; a batchproxy that runs keeps to its own\n",
                             model, forgotten.count);
  }
  return 0;
}

int plan(const CommandLine& arguments, const PlanFlags& flags) {
  std::vector<EngineWish> engines;
  if (const Refusal refusal = read_engines(arguments, engines); !refusal.empty()) {
    return refuse(refusal);
  }
  if (flags.forget) return forget(engines, flags);
  std::vector<PlanWish> wishes;
  for (const EngineWish& engine : engines) {
    PlanWish& wish = wishes.emplace_back();
    Refusal refusal = read_wish(engine, flags, wish);
    if (refusal.empty()) refusal = read_gpus(flags, wish);
    if (!refusal.empty()) return refuse(refusal);
  }
  const ReadLearned learned = read_learned(learned_file());
  if (!learned.warning.empty()) std::cerr << "warning: " << learned.warning << '\n';
  const ReadRepairs repairs = read_repairs(repairs_file());
  if (!repairs.warning.empty()) std::cerr << "warning: " << repairs.warning << '\n';
  std::vector<std::string> plans;
  for (PlanWish& wish : wishes) {
    wish.learned = learned.learned;
    PlanReport report = plan_model(wish, process_environment());
    std::ranges::move(repairs.memory.sentences_for(wish.model), std::back_inserter(report.notes));
    plans.push_back(flags.json ? plan_json(report) : plan_text(report));
  }
  if (flags.json && plans.size() > 1) {
    std::cout << fmt::format("{{\"engines\": [{}]}}\n", fmt::join(plans, ", "));
  } else {
    std::cout << fmt::format("{}", fmt::join(plans, "\n"));
  }
  return 0;
}

}  // namespace

Command add_plan(CLI::App& app, CommandLine& arguments) {
  const auto flags = std::make_shared<PlanFlags>();
  CLI::App* command = app.add_subcommand("plan", "How an engine would share out its GPUs' memory");
  command->add_option("MODEL", flags->model, "A directory, or a Hugging Face id that is cached");
  command->add_flag("--json", flags->json, "For programs");
  command->add_flag("--forget", flags->forget,
                    "Forget the repairs that the model's engines came up with, and plan nothing");
  command->add_option("--gpus", flags->gpus, "The engine's GPUs")->type_name("I,J,...");
  command->add_option("--gpu", flags->gpu, "The engine's one GPU")->type_name("INDEX");
  command->add_option("--num-gpus", flags->count, "How many GPUs it gets")->type_name("N");
  command->add_option("--assume-gpus", flags->assumed, "Plan for GPUs that are not here")
      ->type_name("8xH100-80GB|2x24GiB");
  command
      ->add_option("--engine-version,--vllm-version", flags->engine_version, "vLLM's, if not 0.33")
      ->type_name("VERSION");
  command
      ->add_option("--weights-memory", flags->weights,
                   "Weights on each GPU, rather than by the checkpoint")
      ->type_name("SIZE");
  for (const EngineFlag& flag : kEngineFlags) {
    if (flag.takes == nullptr) {
      command->add_flag_callback(
          flag.name, [flags, flag] { flags->engine.push_back({flag.argument, true}); }, flag.help);
      continue;
    }
    command
        ->add_option_function<std::string>(
            flag.name,
            [flags, flag](const std::string& value) {
              flags->engine.push_back({flag.argument, value});
            },
            flag.help)
        ->type_name(flag.takes);
  }
  command->footer(
      "Examples:\n"
      "  batchproxy plan Qwen/Qwen3-8B --assume-gpus 2x24GiB\n"
      "  batchproxy plan /models/llama --gpus 4,5,6,7 --max-model-len 32768\n"
      "  batchproxy plan --config mine.yaml --assume-gpus 8xH100-80GB --json\n"
      "With --config FILE the file's model and vllm_args are planned for, under the flags.");
  return {command, [&arguments, flags] { return plan(arguments, *flags); }};
}

}  // namespace batchproxy
