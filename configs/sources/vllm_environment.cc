// configs/sources/vllm_environment.cc - each variable, and what it is used as.
//
// vLLM itself reads none of these as this program does, and gives VLLM_PORT another meaning, so
// each use is announced.
#include "configs/sources/vllm_environment.h"

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
};
constexpr std::array kArgumentVariables{
    ArgumentVariable{"VLLM_TENSOR_PARALLEL_SIZE", "tensor_parallel_size"},
    ArgumentVariable{"VLLM_GPU_MEMORY_UTIL", "gpu_memory_utilization"},
    ArgumentVariable{"VLLM_DTYPE", "dtype"},
    ArgumentVariable{"VLLM_TRUST_REMOTE_CODE", "trust_remote_code"},
};

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
      for (const ArgumentVariable& each : kArgumentVariables) add_argument(each);
    } else if (options_.proxy.backends.value.empty()) {
      fill(worker.server, "VLLM_SERVER");
      fill(worker.port, "VLLM_PORT");
      fill(worker.api_key, "VLLM_API_KEY");
    }
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

  void add_argument(const ArgumentVariable& each) {
    Key<Arguments>& arguments = options_.worker.vllm_args;
    if (find_argument(arguments.value, each.argument)) return;
    const std::string* value = value_for(each.variable, each.argument);
    if (!value) return;
    Argument argument{std::string(each.argument), *value};
    if (each.argument == "trust_remote_code") {
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

void apply_vllm_environment(const Environment& environment, Options& options, Findings& findings) {
  VllmEnvironment(environment, options, findings).apply();
}

}  // namespace batchproxy
