// launcher/engine_plan.cc - how many engines, on which GPUs, with which arguments.
#include "launcher/engine_plan.h"

#include <algorithm>
#include <numeric>
#include <sstream>
#include <utility>

#include "configs/arguments.h"
#include "launcher/command_line.h"

namespace batchproxy {
namespace {

constexpr int kSimulatedGpus = 8;
constexpr std::int64_t kDefaultMaxNumSeqs = 256;  // vLLM's own on most GPUs

// One engine before it has GPUs and a port.
struct Wish {
  std::string model;
  std::string second_name;
  Arguments arguments;
};

// The parallel sizes whose product is an engine's number of GPUs.
struct GroupShape {
  std::int64_t tensor = 1;
  std::int64_t pipeline = 1;
  std::int64_t data = 1;

  explicit GroupShape(const Arguments& arguments)
      : tensor(integer_argument(arguments, "tensor_parallel_size", 1)),
        pipeline(integer_argument(arguments, "pipeline_parallel_size", 1)),
        data(integer_argument(arguments, "data_parallel_size", 1)) {}

  std::size_t size() const { return static_cast<std::size_t>(tensor * pipeline * data); }

  std::string text() const {
    std::string text = "tensor_parallel_size " + std::to_string(tensor);
    if (pipeline > 1) text += " x pipeline_parallel_size " + std::to_string(pipeline);
    if (data > 1) text += " x data_parallel_size " + std::to_string(data);
    return text;
  }

  friend bool operator==(const GroupShape&, const GroupShape&) = default;
};

bool names_parallel_size(const Arguments& arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [](const Argument& argument) {
    const std::string name = with_underscores(argument.name);
    return name == "tensor_parallel_size" || name == "pipeline_parallel_size";
  });
}

bool uses_placeholder(const std::vector<std::string>& command, std::string_view placeholder) {
  return std::any_of(command.begin(), command.end(), [&](const std::string& word) {
    return word.find(placeholder) != std::string::npos;
  });
}

const std::vector<ServerOptions>* server_list(const Options& options) {
  return std::get_if<std::vector<ServerOptions>>(&*options.proxy.launcher.servers);
}

bool is_automatic(const Options& options) {
  return std::holds_alternative<AutoServers>(*options.proxy.launcher.servers);
}

std::string plural(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string number_text(double number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

class Planner {
 public:
  Planner(const Options& options, const PlanContext& context)
      : options_(options), launcher_(options.proxy.launcher), context_(context), gpus_(pool()) {}

  EnginePlans plan() {
    if (launcher_.engine.value == "command" && launcher_.command->empty()) {
      return refuse(
          "batchproxy.launcher.command is empty: `engine: command` needs the program and its "
          "arguments as a list");
    }
    const std::vector<Wish> wishes = all_wishes();
    check_models(wishes);
    check_gpus(wishes);
    if (!problems_.empty()) return problems_;

    std::vector<EnginePlan> plans;
    for (const Wish& wish : wishes) {
      auto plan = plan_engine(static_cast<int>(plans.size()), wish);
      if (!plan) return refuse(plan.error().text);
      plans.push_back(std::move(*plan));
    }
    return plans;
  }

 private:
  EnginePlans refuse(const std::string& problem) {
    problems_.push_back(problem);
    return problems_;
  }

  bool is_simulated() const { return launcher_.engine.value == "sim"; }
  bool is_pinned() const { return is_simulated() || needs_gpus(options_); }

  std::vector<int> pool() const {
    if (!is_simulated()) return context_.gpus;
    const auto count = *launcher_.gpus == 0 ? kSimulatedGpus : *launcher_.gpus;
    std::vector<int> gpus(static_cast<std::size_t>(count));
    std::iota(gpus.begin(), gpus.end(), 0);
    return gpus;
  }

  // GPUs of one engine with these arguments.
  std::size_t group_size(const Arguments& arguments) const {
    return is_pinned() ? GroupShape(arguments).size() : 0;
  }

  Wish base_wish() const {
    const WorkerOptions& worker = options_.worker;
    return {worker.hf_model_id->empty() ? *worker.model : *worker.hf_model_id, *worker.model,
            *worker.vllm_args};
  }

  Wish wish_for(const ServerOptions& server) const {
    Wish wish = base_wish();
    if (!server.hf_model_id->empty()) {
      wish.model = *server.hf_model_id;
      wish.second_name.clear();  // the worker file's name belongs to the worker file's model
    }
    if (!server.model->empty()) wish.second_name = *server.model;
    wish.arguments = merge_arguments(wish.arguments, *server.vllm_args);
    return wish;
  }

  std::vector<Wish> all_wishes() const {
    std::vector<Wish> wishes;
    if (const auto* servers = server_list(options_)) {
      for (const ServerOptions& server : *servers) {
        wishes.insert(wishes.end(), static_cast<std::size_t>(*server.count), wish_for(server));
      }
      return wishes;
    }
    const Wish wish = base_wish();
    std::size_t count = 1;
    if (const auto* number = std::get_if<std::int64_t>(&*launcher_.servers)) {
      count = static_cast<std::size_t>(*number);
    } else if (const std::size_t size = group_size(wish.arguments); size > 0) {
      // At least one, so that too few GPUs for any is reported like every other shortage.
      count = std::max<std::size_t>(1, gpus_.size() / size);
    }
    wishes.assign(count, wish);
    return wishes;
  }

  void check_models(const std::vector<Wish>& wishes) {
    const bool needs_model =
        launcher_.engine.value != "command" || uses_placeholder(*launcher_.command, "{model}");
    const bool missing = std::any_of(wishes.begin(), wishes.end(),
                                     [](const Wish& wish) { return wish.model.empty(); });
    if (needs_model && missing) {
      problems_.push_back(
          "no model to serve: set hf_model_id (under model.generator_settings) to a Hugging Face "
          "id or a local directory");
    }
    if (wishes.empty()) {
      problems_.push_back("batchproxy.launcher.servers is an empty list: nothing to start");
    }
  }

  void check_gpus(const std::vector<Wish>& wishes) {
    std::size_t needed = 0;
    for (const Wish& wish : wishes) needed += group_size(wish.arguments);
    if (needed <= gpus_.size()) return;
    problems_.push_back("needs " + plural(needed, "GPU") + " (" + shapes_text(wishes) +
                        "), found " + found_text() + ": " + remedy(wishes.size()));
  }

  // "4 engines x tensor_parallel_size 2", or one such for each run of equal engines.
  static std::string shapes_text(const std::vector<Wish>& wishes) {
    std::string text;
    for (std::size_t first = 0; first < wishes.size();) {
      const GroupShape shape(wishes[first].arguments);
      std::size_t last = first + 1;
      while (last < wishes.size() && GroupShape(wishes[last].arguments) == shape) ++last;
      text += (first == 0 ? "" : " + ") + plural(last - first, "engine") + " x " + shape.text();
      first = last;
    }
    return text;
  }

  std::string found_text() const {
    return (gpus_.empty() ? "none" : std::to_string(gpus_.size())) +
           (is_simulated() ? " (simulated)" : "");
  }

  std::string remedy(std::size_t engines) const {
    if (is_simulated()) return "raise batchproxy.launcher.gpus or lower tensor_parallel_size";
    if (gpus_.empty()) return "check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or try --engine sim";
    return engines > 1 ? "lower batchproxy.launcher.servers or tensor_parallel_size"
                       : "lower tensor_parallel_size";
  }

  OrError<EnginePlan> plan_engine(int index, const Wish& wish) {
    EnginePlan plan;
    plan.index = index;
    plan.name = "engine-" + std::to_string(index);
    plan.model = wish.model;
    if (!wish.model.empty()) plan.served_names.push_back(wish.model);
    if (!wish.second_name.empty() && wish.second_name != wish.model) {
      plan.served_names.push_back(wish.second_name);
    }
    plan.gpus = take_gpus(group_size(wish.arguments));
    plan.max_num_seqs = integer_argument(wish.arguments, "max_num_seqs", kDefaultMaxNumSeqs);
    plan.environment =
        engine_environment(plan.gpus, context_.run_id + "-" + plan.name, context_.inherited);
    plan.log_file = *launcher_.log_directory + "/" + plan.name + ".log";
    const auto port = context_.next_port();
    if (!port) return port.error();
    plan.port = *port;
    plan.argv = argv_of(plan, wish.arguments);
    return plan;
  }

  std::vector<int> take_gpus(std::size_t count) {
    const auto first = gpus_.begin() + static_cast<std::ptrdiff_t>(next_gpu_);
    next_gpu_ += count;
    return {first, first + static_cast<std::ptrdiff_t>(count)};
  }

  std::vector<std::string> argv_of(const EnginePlan& plan, const Arguments& arguments) const {
    if (launcher_.engine.value == "command") return fill_command(*launcher_.command, plan);
    std::vector<std::string> argv{*launcher_.executable, "serve"};
    if (is_simulated()) argv = {context_.self_executable, "sim-engine"};
    const auto words = serve_arguments(plan, arguments);
    argv.insert(argv.end(), words.begin(), words.end());
    if (is_simulated()) {
      argv.insert(argv.end(), {"--sim-hardware", *launcher_.sim_hardware, "--sim-time-scale",
                               number_text(*launcher_.sim_time_scale)});
    }
    return argv;
  }

  const Options& options_;
  const LauncherOptions& launcher_;
  const PlanContext& context_;
  const std::vector<int> gpus_;
  std::size_t next_gpu_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace

bool needs_gpus(const Options& options) {
  const LauncherOptions& launcher = options.proxy.launcher;
  if (launcher.engine.value == "vllm") return true;
  if (launcher.engine.value == "sim") return false;
  if (is_automatic(options) || uses_placeholder(*launcher.command, "{gpus}")) return true;
  if (names_parallel_size(*options.worker.vllm_args)) return true;
  const auto* servers = server_list(options);
  return servers && std::any_of(servers->begin(), servers->end(), [](const ServerOptions& server) {
           return names_parallel_size(*server.vllm_args);
         });
}

EnginePlans plan_engines(const Options& options, const PlanContext& context) {
  return Planner(options, context).plan();
}

}  // namespace batchproxy
