// configs/sources/vllm_environment.cc - each variable, and what it is used as.
//
// vLLM itself reads none of these as this program does, and gives VLLM_PORT another meaning, so
// each use is announced.
#include "configs/sources/vllm_environment.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "configs/schema/backend_source.h"
#include "configs/sources/binder.h"
#include "configs/vllm/arguments.h"

namespace batchproxy {
namespace {

struct ArgumentVariable {
  std::string_view variable;
  std::string_view argument;
  bool is_switch = false;  // "1" says true
  bool of_lora = false;    // counts only where LoRA is enabled
};
// The first that is set counts.
constexpr std::array kArgumentVariables{
    ArgumentVariable{"VLLM_TENSOR_PARALLEL_SIZE", "tensor_parallel_size"},
    ArgumentVariable{"VLLM_PIPELINE_PARALLEL_SIZE", "pipeline_parallel_size"},
    ArgumentVariable{"VLLM_GPU_MEMORY_UTIL", "gpu_memory_utilization"},
    ArgumentVariable{"VLLM_GPU_MEMORY_UTILIZATION", "gpu_memory_utilization"},
    ArgumentVariable{"VLLM_MAX_MODEL_LEN", "max_model_len"},
    ArgumentVariable{"VLLM_MAX_NUM_SEQS", "max_num_seqs"},
    ArgumentVariable{"VLLM_DTYPE", "dtype"},
    ArgumentVariable{"VLLM_QUANTIZATION", "quantization"},
    ArgumentVariable{"VLLM_TRUST_REMOTE_CODE", "trust_remote_code", true},
    ArgumentVariable{"VLLM_ENABLE_LORA", "enable_lora", true},
    ArgumentVariable{"VLLM_MAX_LORAS", "max_loras", false, true},
    ArgumentVariable{"MAX_LORAS", "max_loras", false, true},
    ArgumentVariable{"VLLM_MAX_LORA_RANK", "max_lora_rank", false, true},
    ArgumentVariable{"MAX_LORA_RANK", "max_lora_rank", false, true},
};

// Read below, for keys. VLLM_PORT and VLLM_API_KEY are names of vLLM's own as well.
constexpr std::array<std::string_view, 2> kKeyVariables{"VLLM_MODEL", "VLLM_SERVER"};

// Without a prefix of ours or of vLLM's.
constexpr std::array<std::string_view, 4> kBareNames{"GPU_COUNT", "MAX_LORAS", "MAX_LORA_RANK",
                                                     "DEBUG"};

class VllmEnvironment {
 public:
  VllmEnvironment(const Environment& environment, Options& options, Findings& findings)
      : environment_(environment), options_(options), findings_(findings) {}

  void apply() {
    WorkerOptions& worker = options_.worker;
    const bool nothing_given = options_.file.empty() && options_.proxy.backends.value.empty();
    if (nothing_given && !worker.boot_local.is_set() && value_of("VLLM_MODEL")) {
      worker.boot_local.value = true;
      worker.boot_local.origin = {Source::kVllmEnvironment, "VLLM_MODEL"};
    }
    if (backend_source(options_) == BackendSource::kLauncher) {
      fill(worker.hf_model_id, "VLLM_MODEL");
      if (options_.proxy.launcher.gpu->empty()) fill(options_.proxy.launcher.gpus, "GPU_COUNT");
      for (const ArgumentVariable& each : kArgumentVariables) add_argument(each);
    } else if (options_.proxy.backends.value.empty()) {
      fill(worker.server, "VLLM_SERVER");
      fill(worker.port, "VLLM_PORT");
      fill(worker.api_key, "VLLM_API_KEY");
    }
    fill_log_level();
  }

 private:
  const std::string* value_of(std::string_view name) const {
    const auto found = environment_.find(std::string(name));
    return found == environment_.end() || found->second.empty() ? nullptr : &found->second;
  }

  // The same, for a use that something has: Kubernetes and Docker export VLLM_PORT=tcp://... beside
  // a service named vllm, and that is nobody's setting.
  const std::string* value_for(std::string_view variable, std::string_view use) {
    const std::string* value = value_of(variable);
    if (!value || !is_service_link(*value)) return value;
    findings_.notice({std::string(variable)},
                     "not used as " + std::string(use) + ": '" + *value +
                         "' is what Kubernetes or Docker says about a service of that name");
    return nullptr;
  }

  static bool is_service_link(std::string_view value) {
    return value.starts_with("tcp://") || value.starts_with("udp://") ||
           value.starts_with("sctp://");
  }

  void announce(std::string_view variable, std::string_view use) {
    findings_.notice({std::string(variable)},
                     "used as " + std::string(use) + ", which nothing else sets");
  }

  template <class T>
  void fill(Key<T>& key, std::string_view variable) {
    if (key.is_set()) return;
    const std::string* value = value_for(variable, key.name);
    if (!value) return;
    const Place place{std::string(variable)};
    Binder(Source::kVllmEnvironment, findings_)
        .set(key, Yaml::scalar(*value, place), std::string(key.name));
    if (!findings_.has_error_at(place)) announce(variable, key.name);
  }

  // DEBUG is many programs' own: only the two values of the scripts count. 2 also has the engines
  // say more, see launcher/plan/command_line.cc.
  void fill_log_level() {
    Key<std::string>& level = options_.proxy.log_level;
    const std::string* value = value_of("DEBUG");
    if (!value || (*value != "1" && *value != "2") || level.is_set()) return;
    level.value = "debug";
    level.origin = {Source::kVllmEnvironment, "DEBUG"};
    announce("DEBUG", "log_level debug");
  }

  bool has_lora() const {
    const Argument* enabled = find_argument(*options_.worker.vllm_args, "enable_lora");
    if (enabled) return enabled->value == ArgumentValue(true);
    return find_argument(*options_.worker.vllm_args, "lora_modules") != nullptr;
  }

  void add_argument(const ArgumentVariable& each) {
    Key<Arguments>& arguments = options_.worker.vllm_args;
    if (find_argument(arguments.value, each.argument)) return;
    if (each.of_lora && !has_lora()) return;
    const std::string* value = value_for(each.variable, each.argument);
    if (!value) return;
    Argument argument{std::string(each.argument), *value};
    if (each.is_switch) {
      argument.value = *value == "1" || parse_bool(*value).value_or(false);
    }
    if (const std::string problem = argument_problem(argument); !problem.empty()) {
      findings_.error({std::string(each.variable)}, argument.name + ": " + problem);
      return;
    }
    arguments.value.push_back(std::move(argument));
    Origin& origin = arguments.origin;
    if (origin.source == Source::kDefault) origin.source = Source::kVllmEnvironment;
    origin.detail += (origin.detail.empty() ? "" : ", ") + std::string(each.variable);
    announce(each.variable, "vllm_args." + std::string(each.argument));
  }

  const Environment& environment_;
  Options& options_;
  Findings& findings_;
};

}  // namespace

bool is_borrowed(std::string_view name) {
  return std::ranges::find(kArgumentVariables, name, &ArgumentVariable::variable) !=
             kArgumentVariables.end() ||
         std::ranges::find(kKeyVariables, name) != kKeyVariables.end() ||
         std::ranges::find(kBareNames, name) != kBareNames.end();
}

void apply_vllm_environment(const Environment& environment, Options& options, Findings& findings) {
  VllmEnvironment(environment, options, findings).apply();
}

}  // namespace batchproxy
