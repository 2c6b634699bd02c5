// launcher/doctor/vllm_checks.cc - is vLLM there, and does it take what the configuration says?
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <variant>

#include <fmt/format.h>

#include "configs/vllm/arguments.h"
#include "launcher/doctor/checks.h"
#include "launcher/plan/argument_fit.h"

namespace batchproxy {
namespace {

// What left vLLM for a package of its own, with the first version that needs it.
struct Separate {
  std::string_view word;  // of quantization or load_format
  Version since;
};
constexpr std::array kSeparate{
    Separate{"bitsandbytes", {0, 33, 0}},
    Separate{"gguf", {0, 33, 0}},
};

bool says(const Arguments& arguments, std::string_view name, std::string_view word) {
  const Argument* argument = find_argument(arguments, name);
  const auto* text = argument ? std::get_if<std::string>(&argument->value) : nullptr;
  return text != nullptr && *text == word;
}

bool uses(const Subject& subject, std::string_view word) {
  return std::ranges::any_of(subject.wishes, [&](const EngineWish& wish) {
    return says(wish.arguments, "quantization", word) || says(wish.arguments, "load_format", word);
  });
}

bool has_plugin_for(const VllmInstallation& vllm, std::string_view word) {
  return std::ranges::any_of(vllm.plugins, [&](const VllmPlugin& plugin) {
    return plugin.name.find(word) != std::string::npos;
  });
}

// Of `engine: command`.
FindingList check_command(const Subject& subject) {
  const LauncherOptions& launcher = subject.options.proxy.launcher;
  const bool is_command = subject.starts_engines() && *launcher.engine == "command";
  if (!is_command || launcher.command->empty()) return {};
  const std::string& name = launcher.command->front();
  const std::string program = subject.machine.find_program(name);
  if (!program.empty()) return {ok("not started; the command is " + program)};
  return {failure("`" + name + "` of batchproxy.launcher.command was not found",
                  "activate its environment, or write its path")};
}

// From 0.33 on `fp8` only says that the checkpoint is; what quantises while it loads has other
// words.
bool misses_fp8_checkpoint(const Subject& subject) {
  constexpr Version kNoLonger{0, 33, 0};
  if (subject.vllm->version < kNoLonger || !uses(subject, "fp8")) return false;
  const auto config = subject.machine.read(subject.model_folder + "/config.json");
  return !subject.model_folder.empty() && config &&
         config->find("\"quantization_config\"") == std::string::npos;
}

}  // namespace

FindingList check_vllm(const Subject& subject) {
  if (!subject.starts_vllm()) return check_command(subject);
  if (!subject.vllm) {
    return {failure(subject.vllm.error().text,
                    "activate its environment, set batchproxy.launcher.executable, or `pip install "
                    "vllm`")};
  }
  const VllmInstallation& vllm = *subject.vllm;
  std::string text = vllm.version_text + " at " + vllm.program;
  if (vllm.site_packages.empty()) return {ok(text + " (as it says itself)")};
  if (vllm.torch.empty()) {
    return {failure(text + ", without PyTorch beside it in " + vllm.site_packages,
                    "install vLLM anew, into an environment of its own")};
  }
  text += ", PyTorch " + vllm.torch;
  if (!vllm.transformers.empty()) text += ", transformers " + vllm.transformers;
  return {ok(text)};
}

FindingList check_plugins(const Subject& subject) {
  if (!subject.starts_vllm() || !subject.vllm) return {};
  FindingList list;
  for (const Separate& separate : kSeparate) {
    if (subject.vllm->version < separate.since || !uses(subject, separate.word)) continue;
    if (has_plugin_for(*subject.vllm, separate.word)) continue;
    list.push_back(failure(fmt::format("{} is used, and vLLM {} has it no longer", separate.word,
                                       subject.vllm->version_text),
                           "install vLLM's plugin for it beside vLLM"));
  }
  std::vector<std::string> names;
  for (const VllmPlugin& plugin : subject.vllm->plugins) {
    names.push_back(plugin.name + " (" + plugin.group + ")");
  }
  if (list.empty()) {
    list.push_back(ok(names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
  }
  return list;
}

FindingList check_arguments(const Subject& subject) {
  if (!subject.configured || !subject.starts_vllm() || !subject.vllm) return {};
  FindingList list;
  const auto add = [&list](Finding finding) {
    const auto same = [&](const Finding& other) { return other.text == finding.text; };
    if (std::ranges::none_of(list, same)) list.push_back(std::move(finding));
  };
  for (const EngineWish& wish : subject.wishes) {
    const FittedArguments fitted = fit_arguments(wish.arguments, subject.vllm->version);
    for (const std::string& problem : fitted.problems) {
      add(failure(problem, "write it so in vllm_args"));
    }
    for (const std::string& remark : fitted.remarks) {
      add(warning(remark,
                  "nothing has to be done; to be rid of this line write it so in vllm_args"));
    }
  }
  if (misses_fp8_checkpoint(subject)) {
    add(failure("quantization: fp8, and the checkpoint is not quantised: vLLM " +
                    subject.vllm->version_text + " no longer does that while it loads",
                "write quantization: fp8_per_tensor"));
  }
  if (list.empty()) list.push_back(ok("vLLM " + subject.vllm->version_text + " has all of them"));
  return list;
}

}  // namespace batchproxy
