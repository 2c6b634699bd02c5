// proxy/control/reloader.cc - load, look, take over, tell.
#include "proxy/control/reloader.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <spdlog/spdlog.h>

#include "proxy/control/log_level.h"

namespace batchproxy {

namespace {

spdlog::level::level_enum level_of(Severity severity) {
  if (severity == Severity::kNotice) return spdlog::level::info;
  return severity == Severity::kWarning ? spdlog::level::warn : spdlog::level::err;
}

void tell(const std::vector<Diagnostic>& diagnostics, ReloadReport& report) {
  for (const Diagnostic& one : diagnostics) {
    report.lines.push_back(one.format());
    spdlog::log(level_of(one.severity), "reload: {}", one.format());
  }
}

}  // namespace

Reloader::Reloader(Options& options, ApiKeysPtr keys, Hooks hooks)
    : options_(options), keys_(std::move(keys)), hooks_(std::move(hooks)) {}

ReloadReport Reloader::reload(const std::vector<Flag>& trial) {
  ReloadReport report;
  auto changes = take_over(trial, report);
  report.ok = changes.has_value();
  last_failed_ = !report.ok;
  if (!report.ok) {
    spdlog::error("the configuration was not reloaded; the one in force stays");
    return report;
  }
  if (changes->empty()) {
    const bool has_tls = !options_.proxy.tls.certificate->empty();
    changes->push_back(has_tls
                           ? "nothing has changed but what is in the certificate's files, read anew"
                           : "nothing has changed");
  }
  hooks_.apply(keys_);
  set_log_level(*options_.proxy.log_level);
  ++generation_;
  for (const std::string& line : *changes) spdlog::info("reload: {}", line);
  std::ranges::move(*changes, std::back_inserter(report.lines));
  return report;
}

std::optional<std::vector<std::string>> Reloader::take_over(const std::vector<Flag>& trial,
                                                            ReloadReport& report) {
  const LoadResult loaded = hooks_.load(trial);
  tell(loaded.diagnostics, report);
  if (!loaded.ok()) return std::nullopt;
  ReloadPlan plan = plan_reload(options_, loaded.options);
  const LoadedApiKeys keys = load_api_keys(plan.options, keys_.get());
  tell(keys.diagnostics, report);
  if (!keys.ok()) return std::nullopt;
  const std::string problem = hooks_.read_files ? hooks_.read_files(plan.options) : "";
  if (!problem.empty()) {
    report.lines.push_back("error: " + problem);
    spdlog::error("reload: {}", problem);
    return std::nullopt;
  }
  try {
    std::ranges::move(hooks_.replace_backends(plan.options), std::back_inserter(plan.lines));
  } catch (const std::runtime_error& error) {
    report.lines.push_back(std::string("error: ") + error.what());
    spdlog::error("reload: {}", error.what());
    return std::nullopt;
  }
  std::ranges::move(changes_between(keys_.get(), keys.keys.get()), std::back_inserter(plan.lines));
  keys_ = keys.keys;
  options_ = std::move(plan.options);
  return std::move(plan.lines);
}

}  // namespace batchproxy
