// launcher/plan/engine_plan.cc - how many engines, on which GPUs, with which arguments.
#include "launcher/plan/engine_plan.h"

#include <algorithm>
#include <numeric>
#include <sstream>
#include <utility>
#include <variant>

#include "configs/engine_wish.h"
#include "configs/text/home_path.h"
#include "configs/text/number.h"
#include "configs/vllm/argument_history.h"
#include "configs/vllm/arguments.h"
#include "launcher/plan/adapter_names.h"
#include "launcher/plan/argument_fit.h"
#include "launcher/plan/command_line.h"

namespace batchproxy {
namespace {

constexpr std::int64_t kDefaultMaxNumSeqs = 256;  // vLLM's own on most GPUs

bool uses_placeholder(const std::vector<std::string>& command, std::string_view placeholder) {
  return std::any_of(command.begin(), command.end(), [&](const std::string& word) {
    return word.find(placeholder) != std::string::npos;
  });
}

std::string number_text(double number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

// A hash of what is started, but for what marks the run of batchproxy that starts it.
std::string identity_of(const EnginePlan& plan) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto take = [&hash](std::string_view text) {
    for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    hash *= 0x100000001b3;
  };
  for (const std::string& word : plan.argv) take(word);
  for (const auto& [name, value] : plan.environment.set) {
    if (name != kEngineMarker) take(name), take(value);
  }
  for (const std::string& name : plan.environment.unset) take(name);
  std::ostringstream text;
  text << std::hex << hash;
  return text.str();
}

// The first vLLM that reads UUIDs in CUDA_VISIBLE_DEVICES.
constexpr Version kReadsUuids{0, 33, 0};

Gpus pool_of(const Options& options, const PlanContext& context) {
  if (runs_elsewhere(options)) return {};
  if (*options.proxy.launcher.engine != "sim") return context.gpus;
  Gpus gpus(told_gpus(options).value_or(0));
  std::iota(gpus.begin(), gpus.end(), 0);
  const GpuChoice asked = asked_gpus(options);
  const auto* listed = std::get_if<std::vector<std::string>>(&asked);
  for (std::size_t i = 0; listed != nullptr && i < listed->size(); ++i) {
    gpus[i].index = number_in<int>(listed->at(i)).value_or(gpus[i].index);  // of a UUID: nobody's
  }
  return gpus;
}

class Planner {
 public:
  Planner(const Options& options, const PlanContext& context)
      : options_(options),
        launcher_(options.proxy.launcher),
        context_(context),
        gpus_(pool_of(options, context)) {}

  EnginePlans plan() {
    if (launcher_.engine.value == "command" && launcher_.command->empty()) {
      return refuse(
          "batchproxy.launcher.command is empty: `engine: command` needs the program and its "
          "arguments as a list");
    }
    const std::size_t gpus = told_gpus(options_).value_or(gpus_.size());
    std::vector<EngineWish> wishes = wished_engines(options_, gpus);
    for (EngineWish& wish : wishes) fit_to_engine(wish);
    check_models(wishes);
    check_uuids();
    // Nobody knows how many other nodes have, unless we are told.
    const bool is_known = !runs_elsewhere(options_) || told_gpus(options_);
    std::string shortage = is_known ? gpu_shortage(wishes, options_, gpus) : "";
    if (!shortage.empty()) problems_.push_back(std::move(shortage));
    if (!problems_.empty()) return problems_;

    std::vector<EnginePlan> plans;
    for (const EngineWish& wish : wishes) {
      auto plan = plan_engine(static_cast<int>(plans.size()), wish);
      if (!plan) return refuse(plan.error().text);
      if (has_profile_cpu()) {
        const CoreRange cores =
            plan->is_far ? CoreRange{} : share_of_cores(plans.size(), wishes.size());
        run_on_cpu(cores, context_.inherited, plan->environment);
      }
      plans.push_back(std::move(*plan));
    }
    if (!plans.empty()) plans.front().remarks = std::move(remarks_);
    return plans;
  }

 private:
  EnginePlans refuse(const std::string& problem) {
    problems_.push_back(problem);
    return problems_;
  }

  bool has_profile_cpu() const { return *launcher_.profile == "cpu"; }

  CoreRange share_of_cores(std::size_t index, std::size_t engines) const {
    const auto share = static_cast<unsigned>(context_.cores / engines);
    if (engines == 1 || share == 0) return {};
    const unsigned first = static_cast<unsigned>(index) * share;
    return {first, first + share};
  }

  // Adapters need --enable-lora; names that this version of vLLM does not have are replaced.
  void fit_to_engine(EngineWish& wish) {
    if (*launcher_.engine == "command") return;
    if (!adapter_names(wish.arguments).empty() && !find_argument(wish.arguments, "enable_lora")) {
      wish.arguments.push_back({"enable_lora", true});
    }
    if (is_simulated() || !context_.vllm) return;
    FittedArguments fitted = fit_arguments(wish.arguments, *context_.vllm);
    wish.arguments = std::move(fitted.arguments);
    add_new(std::move(fitted.remarks), remarks_);
    add_new(std::move(fitted.problems), problems_);
    silence_probes(*context_.vllm, wish.arguments);
  }

  // We ask each engine some five times a second how it is; its log shall tell of clients.
  static void silence_probes(const Version& version, Arguments& arguments) {
    constexpr const char* kName = "disable_access_log_for_endpoints";
    const ArgumentHistory* row = history_of(kName);
    const bool is_decided = find_argument(arguments, kName) != nullptr ||
                            find_argument(arguments, "disable_uvicorn_access_log") != nullptr;
    if (is_decided || (row != nullptr && is_missing(*row, version))) return;
    arguments.push_back({kName, "/health,/metrics"});
  }

  // Engines that are alike say the same.
  static void add_new(std::vector<std::string> sentences, std::vector<std::string>& to) {
    for (std::string& sentence : sentences) {
      if (std::ranges::count(to, sentence) == 0) to.push_back(std::move(sentence));
    }
  }

  bool is_simulated() const { return launcher_.engine.value == "sim"; }

  void check_models(const std::vector<EngineWish>& wishes) {
    const bool needs_model =
        launcher_.engine.value != "command" || uses_placeholder(*launcher_.command, "{model}");
    const bool missing = std::any_of(wishes.begin(), wishes.end(),
                                     [](const EngineWish& wish) { return wish.model.empty(); });
    if (needs_model && missing) {
      problems_.push_back(
          "no model to serve: set hf_model_id (under model.generator_settings) to a Hugging Face "
          "id or a local directory");
    }
    if (wishes.empty()) {
      problems_.push_back("batchproxy.launcher.servers is an empty list: nothing to start");
    }
  }

  // Many versions of vLLM end with "invalid literal for int()". What a command does is its own.
  void check_uuids() {
    const auto named =
        std::ranges::find_if(gpus_, [](const Gpu& gpu) { return !gpu.uuid.empty(); });
    if (*launcher_.engine != "vllm" || named == gpus_.end()) return;
    if (context_.vllm && *context_.vllm >= kReadsUuids) return;
    problems_.push_back("CUDA_VISIBLE_DEVICES has '" + named->uuid +
                        "': many versions of vLLM read integers only, not UUIDs; write the indices "
                        "(`nvidia-smi -L` shows both), or start vLLM by `engine: command`");
  }

  OrError<EnginePlan> plan_engine(int index, const EngineWish& wish) {
    EnginePlan plan;
    plan.index = index;
    plan.name = "engine-" + std::to_string(index);
    plan.model = with_home(wish.model);
    if (!wish.model.empty()) plan.served_names.push_back(wish.model);
    if (!wish.second_name.empty() && wish.second_name != wish.model) {
      plan.served_names.push_back(wish.second_name);
    }
    if (*launcher_.engine != "command") plan.adapters = adapter_names(wish.arguments);
    plan.is_far = runs_elsewhere(options_);
    if (plan.is_far) {
      plan.far_gpus = gpus_of(wish, options_);
      plan.host = kHostToFill;
    } else {
      plan.gpus = take_gpus(gpus_of(wish, options_));
    }
    plan.max_num_seqs = integer_argument(wish.arguments, "max_num_seqs", kDefaultMaxNumSeqs);
    plan.environment =
        engine_environment(plan.gpus, context_.run_id + "-" + plan.name, context_.inherited);
    plan.log_file = *launcher_.log_directory + "/" + plan.name + ".log";
    if (const auto kept = context_.kept_port(plan.name); kept && !plan.is_far) {
      plan.runs_already = true;
      plan.port = *kept;
    } else if (!plan.is_far) {
      const auto port = context_.next_port();
      if (!port) return port.error();
      plan.port = *port;
    }
    plan.arguments = wish.arguments;
    plan.version = context_.vllm;
    plan.argv = argv_of(plan, wish.arguments);
    plan.identity = identity_of(plan);
    return plan;
  }

  Gpus take_gpus(std::size_t count) {
    const auto first = gpus_.begin() + static_cast<std::ptrdiff_t>(next_gpu_);
    next_gpu_ += count;
    return {first, first + static_cast<std::ptrdiff_t>(count)};
  }

  std::vector<std::string> argv_of(const EnginePlan& plan, const Arguments& arguments) const {
    if (launcher_.engine.value == "command") return fill_command(*launcher_.command, plan);
    std::vector<std::string> argv{*launcher_.executable, "serve"};
    if (is_simulated()) argv = {program_of_ours(plan), "sim-engine"};
    const auto words = serve_arguments(plan, arguments);
    argv.insert(argv.end(), words.begin(), words.end());
    if (is_simulated()) {
      argv.insert(argv.end(), {"--sim-hardware", *launcher_.sim_hardware, "--sim-time-scale",
                               number_text(*launcher_.sim_time_scale)});
    }
    return argv;
  }

  const std::string& program_of_ours(const EnginePlan& plan) const {
    const std::string& there = *launcher_.agent_program;
    return plan.is_far && !there.empty() ? there : context_.self_executable;
  }

  const Options& options_;
  const LauncherOptions& launcher_;
  const PlanContext& context_;
  const Gpus gpus_;
  std::size_t next_gpu_ = 0;
  std::vector<std::string> problems_;
  std::vector<std::string> remarks_;
};

}  // namespace

std::string port_text(const EnginePlan& plan) {
  return plan.is_far ? std::string(kPortToFill) : std::to_string(plan.port);
}

EnginePlans plan_engines(const Options& options, const PlanContext& context) {
  Options settled = options;
  settle_profile(settled, told_gpus(options).value_or(context.gpus.size()));
  return Planner(settled, context).plan();
}

Gpus spare_gpus(const Options& options, const PlanContext& context,
                const std::vector<EnginePlan>& plans) {
  // Eight simulated GPUs that nobody has asked for are no GPUs.
  if (runs_elsewhere(options)) return {};
  if (*options.proxy.launcher.engine == "sim" && !names_gpus(options)) return {};
  Gpus spare = pool_of(options, context);
  std::erase_if(spare, [&plans](const Gpu& gpu) {
    return std::ranges::any_of(
        plans, [&gpu](const EnginePlan& plan) { return std::ranges::count(plan.gpus, gpu) > 0; });
  });
  return spare;
}

}  // namespace batchproxy
