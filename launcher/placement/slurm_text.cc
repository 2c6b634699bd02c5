// launcher/placement/slurm_text.cc - see slurm_text.h. The sentences are those of Slurm 22.05 to
// 24.11.
#include "launcher/placement/slurm_text.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <fmt/format.h>

#include "configs/text/number.h"

namespace batchproxy {
namespace {

using std::chrono::seconds;

std::string value_of(const Environment& environment, const std::string& name) {
  const auto it = environment.find(name);
  return it == environment.end() ? std::string() : it->second;
}

// The first number of "16(x2),8", or of "2".
std::optional<int> first_number(std::string_view text) {
  return number_in<int>(text.substr(0, text.find_first_not_of("0123456789")));
}

// Of a node's cores, as many as there are engines on it get the same share. Nothing where Slurm
// does not tell.
std::optional<int> cores_of_engine(const AgentCall& call, const Environment& environment) {
  const auto cores = first_number(value_of(environment, "SLURM_JOB_CPUS_PER_NODE"));
  const auto nodes = first_number(value_of(environment, "SLURM_JOB_NUM_NODES"));
  if (!cores || !nodes || *nodes <= 0) return std::nullopt;
  const int on_a_node = std::max(1, (call.engines + *nodes - 1) / *nodes);
  return std::max(1, *cores / on_a_node);
}

// Said to the whole job, they would be taken by each step.
constexpr std::array<std::string_view, 14> kOfTheJob{
    "SLURM_GPUS",         "SLURM_GPUS_PER_NODE",   "SLURM_GPUS_PER_TASK",  "SLURM_GPUS_PER_SOCKET",
    "SLURM_NTASKS",       "SLURM_NTASKS_PER_NODE", "SLURM_NTASKS_PER_GPU", "SLURM_NPROCS",
    "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU",     "SLURM_MEM_PER_GPU",    "SLURM_TRES_PER_TASK",
    "SLURM_CPUS_PER_GPU", "SLURM_CPUS_PER_TASK"};

constexpr std::string_view kEnded = "the allocation has ended: start again in a new one (salloc)";

struct Advice {
  std::string_view sentence;  // of srun, in part
  std::string_view advice;
};
constexpr std::array kAdvice{
    Advice{"DUE TO TIME LIMIT",
           "the allocation's time limit is reached: start again in a longer one (salloc -t), or "
           "extend it (scontrol update jobid=... timelimit=...)"},
    Advice{"DUE TO NODE FAILURE", "the node has failed"},
    Advice{"DUE TO PREEMPTION", "the allocation was taken away for a job of higher priority"},
    Advice{"Expired or invalid job", kEnded},
    Advice{"Invalid job id specified", kEnded},
    Advice{"Job/step already completing or completed", kEnded},
    Advice{"Required node not available (down, drained or reserved)",
           "a node of the allocation is down or drained: `sinfo -R` says why"},
    Advice{"is more than the job's",
           "no node of the allocation has so many GPUs or cores: allocate more of them "
           "(salloc --gres=gpu:8), lower tensor_parallel_size, or start fewer engines"},
    Advice{"failed on node", "the node, or its slurmd, does not answer"},
    Advice{
        "Invalid generic resource (gres) specification",
        "the allocation has no GPUs of that name: allocate them with --gres=gpu:N, or name their "
        "kind in launcher.srun_arguments"},
    Advice{"Requested node configuration is not available",
           "no node of the allocation has so many GPUs or cores: allocate more of them "
           "(salloc --gres=gpu:8), lower tensor_parallel_size, or start fewer engines"},
    Advice{"More processors requested than permitted",
           "no node of the allocation has so many cores: write fewer in launcher.srun_arguments "
           "([\"-c\", \"1\"])"},
    Advice{"Unable to contact slurm controller", "slurmctld does not answer"},
};

constexpr std::array<std::string_view, 3> kWaiting{
    "temporarily disabled, retrying", "Requested nodes are busy", "queued and waiting for"};

}  // namespace

std::string slurm_job(const Environment& environment) {
  const std::string job = value_of(environment, "SLURM_JOB_ID");
  return job.empty() ? value_of(environment, "SLURM_JOBID") : job;
}

std::vector<std::string> srun_command(const AgentCall& call, const Environment& environment,
                                      const std::vector<std::string>& extra) {
  std::vector<std::string> words{"srun",         "--jobid=" + slurm_job(environment),
                                 "--exact",      "--nodes=1",
                                 "--ntasks=1",   "--mem=0",
                                 "--unbuffered", "--kill-on-bad-exit=1",
                                 "--export=ALL", "--job-name=" + call.engine};
  words.push_back(call.gpus > 0 ? fmt::format("--gres=gpu:{}", call.gpus) : "--gres=none");
  if (const auto cores = cores_of_engine(call, environment)) {
    words.push_back(fmt::format("--cpus-per-task={}", *cores));
  }
  words.insert(words.end(), extra.begin(), extra.end());
  words.insert(words.end(), call.argv.begin(), call.argv.end());
  return words;
}

Environment srun_environment(Environment environment) {
  std::erase_if(environment, [](const auto& variable) {
    const std::string& name = variable.first;
    return std::ranges::find(kOfTheJob, name) != kOfTheJob.end() ||
           name.starts_with("SLURM_CPU_BIND") || name.starts_with("SLURM_MEM_BIND") ||
           name.starts_with("SLURM_STEP");
  });
  return environment;
}

std::optional<seconds> parse_slurm_time(std::string_view text) {
  std::int64_t days = 0;
  if (const auto dash = text.find('-'); dash != std::string_view::npos) {
    const auto number = number_in<std::int64_t>(text.substr(0, dash));
    if (!number || *number < 0) return std::nullopt;
    days = *number;
    text.remove_prefix(dash + 1);
  }
  std::int64_t time = 0;
  int parts = 0;
  for (; !text.empty() && parts < 3; ++parts) {
    const auto colon = std::min(text.find(':'), text.size());
    const auto number = number_in<std::int64_t>(text.substr(0, colon));
    if (!number || *number < 0) return std::nullopt;
    time = time * 60 + *number;
    text.remove_prefix(std::min(colon + 1, text.size()));
  }
  if (parts < 2 || !text.empty()) return std::nullopt;
  return seconds(days * 86400 + time);
}

std::string time_text(seconds time) {
  const auto all = time.count();
  if (all < 120) return fmt::format("{} s", all);
  const auto minutes = all / 60;
  if (minutes < 120) return fmt::format("{} min", minutes);
  if (minutes % 60 == 0) return fmt::format("{} h", minutes / 60);
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

namespace {

// The parts between bars; nothing when there are not `count` of them.
std::optional<std::vector<std::string>> parts_of(std::string_view line, std::size_t count) {
  std::vector<std::string> parts;
  while (parts.size() + 1 < count) {
    const auto bar = line.find('|');
    if (bar == std::string_view::npos) return std::nullopt;
    parts.emplace_back(line.substr(0, bar));
    line.remove_prefix(bar + 1);
  }
  parts.emplace_back(line);
  if (parts.front().empty()) return std::nullopt;
  return parts;
}

}  // namespace

std::optional<SlurmJob> parse_squeue(std::string_view line) {
  const auto parts = parts_of(line, 3);
  if (!parts) return std::nullopt;
  return SlurmJob{parts->at(0), parse_slurm_time(parts->at(1)), parts->at(2)};
}

bool SlurmJob::has_ended() const {
  constexpr std::array<std::string_view, 11> kOver{
      "COMPLETING", "COMPLETED", "CANCELLED", "FAILED",        "TIMEOUT", "NODE_FAIL",
      "PREEMPTED",  "BOOT_FAIL", "DEADLINE",  "OUT_OF_MEMORY", "REVOKED"};
  return std::ranges::find(kOver, state) != kOver.end();
}

std::optional<SlurmNode> parse_sinfo(std::string_view line) {
  const auto parts = parts_of(line, 3);
  if (!parts) return std::nullopt;
  return SlurmNode{parts->at(0), parts->at(1), parts->at(2)};
}

bool SlurmNode::is_out() const {
  constexpr std::array<std::string_view, 5> kOut{"down", "drain", "fail", "unknown", "not_resp"};
  return state.ends_with('*') || std::ranges::any_of(kOut, [this](std::string_view word) {
           return state.starts_with(word);
         });
}

bool is_waiting(std::string_view line) {
  return std::ranges::any_of(kWaiting, [line](std::string_view sentence) {
    return line.find(sentence) != std::string_view::npos;
  });
}

std::string_view slurm_advice(std::string_view line) {
  for (const Advice& row : kAdvice) {
    if (line.find(row.sentence) != std::string_view::npos) return row.advice;
  }
  return {};
}

bool says_it_has_ended(std::string_view line) {
  return slurm_advice(line) == kEnded;
}

}  // namespace batchproxy
