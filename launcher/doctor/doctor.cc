// launcher/doctor/doctor.cc - the table of checks, and their findings as text and as JSON.
#include "launcher/doctor/doctor.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "configs/schema/backend_source.h"
#include "configs/text/printable.h"
#include "launcher/doctor/checks.h"
#include "launcher/doctor/model_folder.h"
#include "launcher/memory/gpu_order.h"

namespace batchproxy {
namespace {

namespace json = boost::json;

struct Check {
  std::string_view name;
  FindingList (*run)(const Subject&);
};

constexpr std::array kChecks{
    Check{"GPUs", check_gpus},
    Check{"GPU memory", check_gpu_memory},
    Check{"driver", check_driver},
    Check{"NVLink", check_nvlink},
    Check{"peer to peer", check_peer_to_peer},
    Check{"vLLM", check_vllm},
    Check{"plugins", check_plugins},
    Check{"arguments", check_arguments},
    Check{"model", check_model},
    Check{"memory plan", check_plan},
    Check{"placement", check_placement},
    Check{"agents", check_agents},
    Check{"nvcc", check_compiler},
    Check{"/dev/shm", check_shared_memory},
    Check{"host memory", check_host_memory},
    Check{"disk", check_disk},
    Check{"files", check_descriptors},
    Check{"ports", check_ports},
};

std::string_view word_of(CheckVerdict verdict) {
  switch (verdict) {
    case CheckVerdict::kOk:
      return "ok";
    case CheckVerdict::kWarning:
      return "warning";
    case CheckVerdict::kFailure:
      break;
  }
  return "failure";
}

void conclude(Subject& subject) {
  const Machine& machine = subject.machine;
  std::size_t gpus = 0;
  if (subject.inventory) {
    subject.ours = our_gpus(*subject.inventory, visible_variables(machine.environment));
    gpus = subject.ours.gpus.size();
  }
  settle_profile(subject.options, told_gpus(subject.options).value_or(gpus));
  if (subject.configured && subject.starts_engines()) {
    subject.wishes = wished_engines(subject.options, told_gpus(subject.options).value_or(gpus));
  }
  std::string model = subject.model_path;
  if (model.empty() && !subject.wishes.empty()) model = subject.wishes.front().model;
  subject.model_folder = model_folder(machine, model);
}

}  // namespace

// Those of other nodes need nothing of this machine.
bool Subject::starts_engines() const {
  if (!configured) return true;
  return backend_source(options) == BackendSource::kLauncher && !runs_elsewhere(options);
}

bool Subject::starts_vllm() const {
  return starts_engines() && *options.proxy.launcher.engine == "vllm";
}

bool Subject::uses_gpus() const {
  return starts_engines() && needs_gpus(options);
}

bool Subject::needs_gpus_elsewhere() const {
  return configured && backend_source(options) == BackendSource::kLauncher &&
         needs_far_gpus(options);
}

std::size_t Subject::largest_group() const {
  std::size_t largest = 0;
  for (const EngineWish& wish : wishes) largest = std::max(largest, gpus_of(wish, options));
  return largest;
}

std::vector<Gpus> Subject::groups() const {
  if (!configured) return {ours.gpus};
  Gpus pool = ours.gpus;
  if (inventory && may_order_gpus(options, machine.environment)) {
    pool = order_gpus(pool, *inventory, wishes, options);
  }
  std::vector<Gpus> groups;
  auto next = pool.begin();
  for (const EngineWish& wish : wishes) {
    const auto left = static_cast<std::size_t>(pool.end() - next);
    const auto size = static_cast<std::ptrdiff_t>(std::min(gpus_of(wish, options), left));
    groups.emplace_back(next, next + size);
    next += size;
  }
  return groups;
}

std::vector<Finding> examine(Subject subject) {
  conclude(subject);
  std::vector<Finding> all;
  for (const Check& check : kChecks) {
    for (Finding& finding : check.run(subject)) {
      finding.name = check.name;
      all.push_back(std::move(finding));
    }
  }
  return all;
}

bool has_failure(const std::vector<Finding>& findings) {
  return std::ranges::count(findings, CheckVerdict::kFailure, &Finding::verdict) > 0;
}

std::string doctor_text(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    text += fmt::format("{:<8} {:<13} {}\n", word_of(finding.verdict), finding.name,
                        printable(finding.text));
    if (!finding.fix.empty()) text += fmt::format("{:22} fix: {}\n", "", printable(finding.fix));
  }
  const auto count = [&](CheckVerdict verdict) {
    return std::ranges::count(findings, verdict, &Finding::verdict);
  };
  const auto plural = [](auto number, const char* noun) {
    return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
  };
  return text + fmt::format("{} ok, {}, {}\n", count(CheckVerdict::kOk),
                            plural(count(CheckVerdict::kWarning), "warning"),
                            plural(count(CheckVerdict::kFailure), "failure"));
}

std::string doctor_json(const std::vector<Finding>& findings) {
  json::array checks;
  for (const Finding& finding : findings) {
    checks.push_back(json::object{{"name", finding.name},
                                  {"verdict", json::string(word_of(finding.verdict))},
                                  {"text", finding.text},
                                  {"fix", finding.fix}});
  }
  return json::serialize(
             json::object{{"ok", !has_failure(findings)}, {"checks", std::move(checks)}}) +
         "\n";
}

}  // namespace batchproxy
