// launcher/outlook/slurm_outlook.cc - see slurm_outlook.h. As Slurm 22.05 writes it.
#include "launcher/outlook/slurm_outlook.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>

#include <fmt/format.h>

#include "configs/text/number.h"
#include "configs/text/printable.h"
#include "configs/text/trim.h"
#include "launcher/placement/slurm_watch.h"

namespace batchproxy {
namespace {

using std::chrono::seconds;

constexpr seconds kPatience{3};  // for each program
constexpr seconds kSoon{600};    // a time limit that is worth a warning
constexpr std::size_t kMostNodes = 4096;

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(at), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// At commas that stand in no brackets.
std::vector<std::string_view> split_outside(std::string_view text, char open, char close) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == open) ++depth;
    if (i < text.size() && text[i] == close) --depth;
    if (i < text.size() && (text[i] != ',' || depth > 0)) continue;
    if (i > begin) parts.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  return parts;
}

// Of "gpu:h100:8(IDX:0-7),shard:4": 8.
std::size_t gpus_in(std::string_view gres) {
  std::size_t count = 0;
  for (std::string_view part : split_outside(gres, '(', ')')) {
    part = part.substr(0, part.find('('));  // which ones
    if (part.substr(0, part.find(':')) != "gpu") continue;
    const std::size_t colon = part.rfind(':');
    const std::string_view number = colon == part.npos ? "1" : part.substr(colon + 1);
    count += number_in<std::size_t>(number).value_or(1);
  }
  return count;
}

// Of "1-3,08" between a name's two ends.
void expand_range(std::string_view range, std::string_view before, std::string_view after,
                  std::vector<std::string>& names) {
  const std::size_t dash = range.find('-');
  const std::string_view low = range.substr(0, dash);
  const std::string_view high = dash == range.npos ? low : range.substr(dash + 1);
  const auto first = number_in<std::size_t>(low), last = number_in<std::size_t>(high);
  if (!first || !last) return;
  for (std::size_t i = *first; i <= *last && names.size() < kMostNodes; ++i) {
    names.push_back(fmt::format("{}{:0{}}{}", before, i, low.size(), after));
  }
}

std::string value_of(std::string_view word, std::string_view name) {
  const bool is_it = word.starts_with(name) && word.substr(name.size()).starts_with('=');
  return is_it ? std::string(word.substr(name.size() + 1)) : std::string();
}

// What it has written, both ways, and an empty line; nothing when it has not ended in time.
std::optional<std::string> asked(const Machine& machine, const std::string& program,
                                 const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{"/bin/sh", "-c", "\"$@\" 2>&1; echo", "sh", program};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return machine.output_of ? machine.output_of(argv, kPatience) : std::nullopt;
}

constexpr const char* kPing = "`scontrol ping` says how slurmctld is";
constexpr const char* kUnknown = "; what the allocation has is not known";

// What scontrol tells of our job, or why it does not.
struct JobAnswer {
  std::optional<SlurmAllocation> allocation{};
  Finding problem{};
};

JobAnswer ask_for_job(const Machine& machine, const std::string& job) {
  const std::string scontrol = machine.find_program("scontrol");
  if (scontrol.empty()) {
    return {{},
            warning("`scontrol` was not found on PATH: what the allocation has is not known",
                    "install Slurm's programs on this machine")};
  }
  const auto said = asked(machine, scontrol, {"--oneliner", "--details", "show", "job", job});
  if (!said) {
    return {{},
            warning(fmt::format("`scontrol` has not answered within {} s: slurmctld is busy, or "
                                "away{}",
                                kPatience.count(), kUnknown),
                    kPing)};
  }
  const std::string_view text = trim(*said, " \n");
  if (text.empty()) {
    return {{},
            warning(fmt::format("`scontrol show job {}` has ended without a word{}", job, kUnknown),
                    "run it by hand: it is hardly Slurm's")};
  }
  auto allocation = parse_scontrol_job(text);
  if (allocation) return {std::move(allocation)};
  const std::string_view line = text.substr(0, text.find('\n'));
  const std::string_view advice = slurm_advice(text);
  Finding problem = failure(fmt::format("of job {} `scontrol` says: {}", job, printable(line)),
                            advice.empty() ? kPing : std::string(advice));
  problem.is_hopeless = says_it_has_ended(text);
  return {{}, std::move(problem)};
}

// That no step begins in it; nothing while it runs.
std::optional<Finding> problem_of_job(const std::string& job, const SlurmJob& its) {
  if (its.state == "RUNNING") return std::nullopt;
  const std::string text =
      fmt::format("Slurm: job {} is {}: no engine can be started in it", job, printable(its.state));
  if (!its.has_ended()) return failure(text, "wait until it runs (`squeue` tells)");
  return hopeless(text, "start batchproxy in an allocation that runs (salloc, sbatch)");
}

std::vector<SlurmNode> look_at_nodes(const Machine& machine, const std::string& nodes) {
  const std::string sinfo = machine.find_program("sinfo");
  std::vector<SlurmNode> found;
  if (sinfo.empty() || nodes.empty()) return found;
  const std::string text =
      asked(machine, sinfo,
            {"--noheader", "--Node", "--nodes=" + nodes, std::string("--format=") + kSinfoFormat})
          .value_or("");
  for (const std::string_view line : split(text, '\n')) {
    auto node = parse_sinfo(line);
    const auto is_same = [&node](const SlurmNode& other) { return other.name == node->name; };
    // A node stands in it once for each partition.
    if (node && std::ranges::none_of(found, is_same)) found.push_back(*std::move(node));
  }
  return found;
}

}  // namespace

std::vector<std::string> expand_host_list(std::string_view text) {
  std::vector<std::string> names;
  for (const std::string_view part : split_outside(text, '[', ']')) {
    const std::size_t open = part.find('['), close = part.find(']');
    if (open == part.npos || close == part.npos || close < open) {
      names.emplace_back(part);
      continue;
    }
    for (const std::string_view range : split(part.substr(open + 1, close - open - 1), ',')) {
      expand_range(range, part.substr(0, open), part.substr(close + 1), names);
    }
  }
  return names;
}

std::optional<SlurmAllocation> parse_scontrol_job(std::string_view text) {
  if (!trim(text).starts_with("JobId=")) return std::nullopt;
  SlurmAllocation allocation;
  std::string limit, run_time;
  std::vector<std::string> names;  // of the group of nodes that is being told
  for (const std::string_view word : split(trim(text, " \n"), ' ')) {
    const auto take = [word](std::string& to, std::string_view name) {
      if (std::string value = value_of(word, name); to.empty()) to = std::move(value);
    };
    take(allocation.job.state, "JobState");
    take(allocation.job.nodes, "NodeList");
    take(limit, "TimeLimit");
    take(run_time, "RunTime");
    if (word.starts_with("Nodes=")) {
      names = expand_host_list(word.substr(std::string_view("Nodes=").size()));
      for (const std::string& name : names) allocation.nodes.push_back({name, 0});
    }
    if (!word.starts_with("GRES=") || names.empty()) continue;
    const std::size_t gpus = gpus_in(word.substr(std::string_view("GRES=").size()));
    for (auto it = allocation.nodes.end() - static_cast<std::ptrdiff_t>(names.size());
         it != allocation.nodes.end(); ++it) {
      it->gpus = gpus;
    }
  }
  const auto most = parse_slurm_time(limit), so_far = parse_slurm_time(run_time);
  if (most && so_far) allocation.job.left = std::max(*most - *so_far, seconds(0));
  return allocation;
}

std::vector<Finding> slurm_findings(const std::string& job, const SlurmAllocation& allocation,
                                    const std::vector<SlurmNode>& nodes,
                                    const std::vector<std::size_t>& needs) {
  if (auto problem = problem_of_job(job, allocation.job)) return {*std::move(problem)};
  std::vector<Finding> findings;
  SlurmWatch watch(job);
  const auto left = allocation.job.left;
  for (const std::string& sentence : watch.on_job(allocation.job)) {
    if (left && *left < kSoon) {
      findings.push_back(
          warning(sentence, fmt::format("extend it (scontrol update jobid={} timelimit=...), or "
                                        "start in a longer one (salloc -t)",
                                        job)));
    } else {
      findings.push_back(ok(sentence));
    }
  }
  for (const std::string& sentence : watch.on_nodes(nodes)) {
    findings.push_back(warning(sentence, "`sinfo -R` says why; the others get its engines"));
  }
  std::vector<NodeRoom> usable;
  std::ranges::copy_if(allocation.nodes, std::back_inserter(usable), [&](const NodeRoom& room) {
    // In one that is draining steps of our job still begin.
    return std::ranges::none_of(nodes, [&](const SlurmNode& node) {
      return node.name == room.name && node.is_out() && !node.state.starts_with("drain");
    });
  });
  const Fit fit = fit_engines(needs, usable);
  findings.push_back(fit.fits ? ok(fit.text)
                              : failure(fit.text,
                                        "allocate more GPUs (salloc -N2 --gres=gpu:8), lower "
                                        "tensor_parallel_size, or start fewer engines"));
  return findings;
}

std::vector<Finding> slurm_outlook(const Machine& machine, const std::vector<std::size_t>& needs) {
  const std::string job = slurm_job(machine.environment);
  const JobAnswer answer = ask_for_job(machine, job);
  if (!answer.allocation) return {answer.problem};
  return slurm_findings(job, *answer.allocation,
                        look_at_nodes(machine, answer.allocation->job.nodes), needs);
}

std::optional<Finding> slurm_obstacle(const Machine& machine) {
  const std::string job = slurm_job(machine.environment);
  const JobAnswer answer = ask_for_job(machine, job);
  if (!answer.allocation) return answer.problem;
  return problem_of_job(job, answer.allocation->job);
}

}  // namespace batchproxy
