// configs/loader.cc - the order in which the sources are read.
#include "configs/loader.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>
#include <system_error>
#include <tuple>

#include "configs/sources/binder.h"
#include "configs/sources/environment.h"
#include "configs/sources/overrides.h"
#include "configs/sources/vllm_environment.h"
#include "configs/validate.h"
#include "configs/worker/worker_keys.h"
#include "configs/yaml/mistakes.h"
#include "configs/yaml/tree.h"

namespace batchproxy {
namespace {

constexpr std::string_view kOurSection = "batchproxy";
constexpr std::size_t kLargestFile = 16 << 20;

std::optional<std::string> read_file(const std::string& path, Findings& findings) {
  std::error_code problem;
  if (std::filesystem::is_directory(path, problem)) {
    findings.error({path}, "this is a directory; name a YAML file");
    return std::nullopt;
  }
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    findings.error({path}, "cannot be read: " + std::generic_category().message(errno));
    return std::nullopt;
  }
  // Read rather than ask for the size: `<(...)` and /dev/stdin have none.
  // In small pieces: memory for the largest would stay with the process after a reload.
  std::string text;
  std::array<char, 4096> piece;
  while (text.size() <= kLargestFile && stream) {
    stream.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<std::size_t>(stream.gcount()));
  }
  if (stream.bad() || text.size() > kLargestFile) {
    findings.error({path}, stream.bad() ? "cannot be read to its end"
                                        : "larger than 16 MiB; this is no configuration file");
    return std::nullopt;
  }
  return text;
}

// Whether the file could be understood at all; if not, later checks would only add noise.
bool apply_file(const LoadInputs& inputs, Options& options, Findings& findings) {
  const auto text = inputs.text ? inputs.text : read_file(inputs.file, findings);
  if (!text) return false;
  if (const auto foreign = find_foreign_byte(*text)) {
    findings.error({inputs.file, foreign->line, foreign->column}, foreign->reason);
    return false;
  }
  const auto root = parse_yaml(*text, inputs.file, findings);
  if (!root) return false;
  if (root->is_null()) {
    findings.error({inputs.file}, "the file is empty");
    return false;
  }
  if (!root->is_map()) {
    report_unexpected(*root, "the file", "keys with values, such as `model:`", findings);
    return false;
  }
  read_worker_keys(*root, options.worker, findings);
  if (const YamlEntry* ours = root->find(kOurSection)) {
    Binder(Source::kFile, findings).bind(ours->value, std::string(kOurSection), options.proxy);
  }
  return true;
}

// Findings of one place keep their order.
std::vector<Diagnostic> sorted_by_line(std::vector<Diagnostic> diagnostics) {
  std::multimap<std::tuple<bool, int, int>, Diagnostic> by_line;
  for (Diagnostic& one : diagnostics) {
    by_line.emplace(std::tuple(one.line == 0, one.line, one.column), std::move(one));
  }
  diagnostics.clear();
  for (auto& [position, one] : by_line) diagnostics.push_back(std::move(one));
  return diagnostics;
}

// `--model M` is enough to start an engine, unless something else says where engines are.
void start_engines_for_model(Options& options) {
  WorkerOptions& worker = options.worker;
  const Source source = worker.hf_model_id.origin.source;
  const bool is_asked_for = source == Source::kFlag || source == Source::kEnvironment;
  const bool engines_run = !options.proxy.backends->empty() || worker.server.is_set() ||
                           worker.port.is_set() || worker.boot_local.is_set();
  if (!is_asked_for || engines_run) return;
  worker.boot_local.value = true;
  worker.boot_local.origin = worker.hf_model_id.origin;
}

bool has(const std::vector<Diagnostic>& diagnostics, Severity severity) {
  return std::ranges::count(diagnostics, severity, &Diagnostic::severity) > 0;
}

}  // namespace

bool LoadResult::ok() const {
  return !has(diagnostics, Severity::kError);
}
bool LoadResult::has_warnings() const {
  return has(diagnostics, Severity::kWarning);
}

LoadResult load(const LoadInputs& inputs) {
  LoadResult result;
  Findings findings;
  result.options.file = inputs.file;
  const bool has_file = inputs.text || !inputs.file.empty();
  const bool understood = !has_file || apply_file(inputs, result.options, findings);
  apply_environment(inputs.environment, result.options, findings);
  apply_flags(inputs.flags, result.options, findings);
  apply_engine_words(inputs.engine_words, result.options, findings);
  apply_trial(inputs.trial, result.options, findings);
  start_engines_for_model(result.options);
  if (understood) {
    apply_vllm_environment(inputs.environment, result.options, findings);
    validate(result.options, findings);
  }
  result.diagnostics = sorted_by_line(std::move(findings).take());
  return result;
}

Environment collect_environment() {
  Environment collected = process_environment();
  std::erase_if(collected, [](const auto& variable) {
    const std::string& name = variable.first;
    const auto begins = [&name](const char* with) { return name.starts_with(with); };
    return !begins("BATCHPROXY_") && !begins("VLLM_") && !begins("OTEL_") && !is_borrowed(name);
  });
  return collected;
}

}  // namespace batchproxy
