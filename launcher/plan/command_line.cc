// launcher/plan/command_line.cc - vLLM's rules for flags, and text for shells.
#include "launcher/plan/command_line.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "configs/sources/vllm_environment.h"
#include "configs/vllm/arguments.h"

namespace batchproxy {
namespace {

// vLLM's flags that are on, or that vLLM may turn on, where nothing is said: false has to be told.
// All others are off then, and what says so is better left out: up to 0.8.5 most have no --no-
// form.
constexpr std::array<std::string_view, 8> kMayBeOn{
    "async_scheduling",                 // where it can
    "disable_cascade_attn",             // on in newer ones
    "disable_hybrid_kv_cache_manager",  // by what the engine uses
    "enable_chunked_prefill",           // where it can
    "enable_flashinfer_autotune",       // by the optimization level
    "enable_log_deltas",                // on
    "enable_prefix_caching",            // on
    "use_tqdm_on_load"};                // on

// "--max-num-seqs", or for "compilation_config.cudagraph_mode" a flag whose key after the dot is
// left as it is: it names a field, not a flag.
std::string flag_name(std::string_view name) {
  if (name.starts_with('-')) return std::string(name);  // a short one of vLLM's own, such as -O3
  const std::string_view head = name.substr(0, name.find('.'));
  std::string flag = "--" + std::string(name);
  std::replace(flag.begin(), flag.begin() + 2 + static_cast<std::ptrdiff_t>(head.size()), '_', '-');
  return flag;
}

void append_boolean(std::vector<std::string>& flags, const std::string& name, bool value) {
  const std::string flag = flag_name(name);
  if (name.find('.') != std::string::npos) {  // a field of a JSON argument: always takes a value
    flags.push_back(flag);
    flags.push_back(value ? "true" : "false");
  } else if (value) {
    flags.push_back(flag);
  } else if (std::find(kMayBeOn.begin(), kMayBeOn.end(), with_underscores(name)) !=
             kMayBeOn.end()) {
    flags.push_back("--no-" + flag.substr(2));
  }
}

void append_argument(std::vector<std::string>& flags, const Argument& argument) {
  if (const auto* boolean = std::get_if<bool>(&argument.value)) {
    append_boolean(flags, argument.name, *boolean);
  } else if (const auto* text = std::get_if<std::string>(&argument.value)) {
    flags.push_back(flag_name(argument.name));
    flags.push_back(*text);
  } else if (const auto* json = std::get_if<JsonText>(&argument.value)) {
    flags.push_back(flag_name(argument.name));
    flags.push_back(json->text);
  } else if (const auto* list = std::get_if<std::vector<std::string>>(&argument.value)) {
    if (list->empty()) return;  // argparse refuses a list flag without values
    flags.push_back(flag_name(argument.name));
    flags.insert(flags.end(), list->begin(), list->end());
  }
}

std::string with_replaced(std::string text, std::string_view placeholder,
                          const std::string& value) {
  for (auto at = text.find(placeholder); at != std::string::npos;
       at = text.find(placeholder, at + value.size())) {
    text.replace(at, placeholder.size(), value);
  }
  return text;
}

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool must_not_reach_an_engine(const std::string& name, const std::string& value) {
  // VLLM_PORT is the base of internal ports, and Kubernetes sets it to a URL for a service named
  // "vllm", as it does others; an API key would lock us out of our own engine.
  if (name == "VLLM_PORT" || name == "VLLM_API_KEY") return true;
  if (name == "VLLM_HOST_IP") return starts_with(value, "tcp://");
  // systemd's are for us: an engine that answered its watchdog would be taken for us.
  if (name == "NOTIFY_SOCKET" || starts_with(name, "WATCHDOG_")) return true;
  // Newer ones warn of each name with this prefix that is not their own.
  if (starts_with(name, "VLLM_") && is_borrowed(name)) return true;
  return starts_with(name, "BATCHPROXY_");
}

std::string pasteable_command(const EnginePlan& plan) {
  std::string line;
  for (const std::string& name : plan.environment.unset) {
    line += (line.empty() ? "env -u " : "-u ") + name + " ";
  }
  const auto assignment = [](const std::string& name, const std::string& value) {
    return name + "=" + shell_quoted(value) + " ";
  };
  const Environment& set = plan.environment.set;
  const auto devices = set.find("CUDA_VISIBLE_DEVICES");
  if (devices != set.end()) line += assignment(devices->first, devices->second);
  for (const auto& [name, value] : set) {
    // Without our marker: batchproxy must not take an engine started by hand for its own.
    if (name == "CUDA_VISIBLE_DEVICES" || name == kEngineMarker) continue;
    line += assignment(name, value);
  }
  for (const std::string& word : plan.argv) line += shell_quoted(word) + " ";
  line.back() = '\n';
  return line;
}

// Of a dry run.
std::string gpus_text(const EnginePlan& plan) {
  if (plan.is_far && plan.far_gpus > 0) return "needs " + std::to_string(plan.far_gpus) + " GPUs";
  return plan.gpus.empty() ? "no GPU pinned" : "GPUs " + join_gpus(plan.gpus);
}

}  // namespace

std::vector<std::string> flags_for(const Arguments& arguments) {
  std::vector<std::string> flags;
  for (const Argument& argument : arguments) append_argument(flags, argument);
  return flags;
}

std::vector<std::string> serve_arguments(const EnginePlan& plan, const Arguments& arguments) {
  std::vector<std::string> words{plan.model, "--host",        plan.host,
                                 "--port",   port_text(plan), "--served-model-name"};
  words.insert(words.end(), plan.served_names.begin(), plan.served_names.end());
  const auto flags = flags_for(arguments);
  words.insert(words.end(), flags.begin(), flags.end());
  return words;
}

std::string fill_place(std::string word, const std::string& host, int port,
                       const std::string& gpus) {
  word = with_replaced(std::move(word), kPortToFill, std::to_string(port));
  word = with_replaced(std::move(word), kHostToFill, host);
  return with_replaced(std::move(word), "{gpus}", gpus);
}

std::vector<std::string> fill_command(const std::vector<std::string>& command,
                                      const EnginePlan& plan) {
  std::vector<std::string> words;
  for (std::string word : command) {
    // Those of another node are for its agent to fill in.
    if (!plan.is_far)
      word = fill_place(std::move(word), plan.host, plan.port, join_gpus(plan.gpus));
    word = with_replaced(std::move(word), "{index}", std::to_string(plan.index));
    // Last, since a model's name is the user's text and may itself have braces.
    words.push_back(with_replaced(std::move(word), "{model}", plan.model));
  }
  return words;
}

EnvironmentChanges engine_environment(const Gpus& gpus, const std::string& engine_id,
                                      const Environment& inherited) {
  EnvironmentChanges changes;
  changes.set = {{kEngineMarker, engine_id},
                 {"NO_COLOR", "1"},
                 {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "120"},
                 {"VLLM_LOGGING_COLOR", "0"}};
  if (!gpus.empty()) {
    changes.set["CUDA_VISIBLE_DEVICES"] = join_gpus(gpus);
    changes.set["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";  // as the driver and nvidia-smi count
  }
  const auto debug = inherited.find("DEBUG");
  if (debug != inherited.end() && debug->second == "2" &&
      !inherited.contains("VLLM_LOGGING_LEVEL")) {
    changes.set["VLLM_LOGGING_LEVEL"] = "DEBUG";
  }
  for (const auto& [name, value] : inherited) {
    if (must_not_reach_an_engine(name, value) && !changes.set.contains(name)) {
      changes.unset.push_back(name);
    }
  }
  return changes;
}

void run_on_cpu(const CoreRange& cores, const Environment& inherited, EnvironmentChanges& changes) {
  constexpr const char* kDefaultGib = "4";
  changes.set["CUDA_VISIBLE_DEVICES"] = "";
  if (!inherited.contains("VLLM_CPU_KVCACHE_SPACE")) {
    changes.set["VLLM_CPU_KVCACHE_SPACE"] = kDefaultGib;
  }
  if (cores.first == cores.last || inherited.contains("VLLM_CPU_OMP_THREADS_BIND")) return;
  changes.set["VLLM_CPU_OMP_THREADS_BIND"] =
      std::to_string(cores.first) + "-" + std::to_string(cores.last - 1);
}

std::string join_gpus(const Gpus& gpus) {
  std::string text;
  for (const Gpu& gpu : gpus) text += (text.empty() ? "" : ",") + gpu.name();
  return text;
}

std::string shell_quoted(std::string_view word) {
  const auto harmless = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("_@%+=:,./-").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), harmless)) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string dry_run_text(const std::vector<EnginePlan>& plans) {
  std::string text;
  for (const EnginePlan& plan : plans) {
    if (!text.empty()) text += "\n";
    text += "# " + plan.name + ": " + gpus_text(plan) +
            (plan.is_far ? ", on another node" : ", http://" + plan.host + ":" + port_text(plan)) +
            ", log " + plan.log_file + "\n" + pasteable_command(plan);
  }
  return text;
}

}  // namespace batchproxy
