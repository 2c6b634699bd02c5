// launcher/placement/slurm_watch.cc - see slurm_watch.h.
#include "launcher/placement/slurm_watch.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace batchproxy {
namespace {

using std::chrono::seconds;

constexpr seconds kUsual{30};
constexpr seconds kShortly{5};
// It is said again when so much is left.
constexpr std::array<seconds, 4> kSayAgain{seconds(3600), seconds(600), seconds(120), seconds(30)};

std::string what_is_wrong(const SlurmNode& node) {
  if (node.state.ends_with('*')) return "does not respond: no engine starts there now";
  const bool has_reason = !node.reason.empty() && node.reason != "none";
  const std::string is =
      fmt::format("is {}{}", node.state, has_reason ? " (" + node.reason + ")" : std::string());
  // Steps of a job that has the node already may still begin.
  if (node.state.starts_with("drain")) {
    return is + ": it takes no new jobs; engines of this one may still start there";
  }
  return is + ": no engine starts there until it is resumed";
}

}  // namespace

std::vector<std::string> SlurmWatch::on_job(const std::optional<SlurmJob>& job) {
  const std::string state = job ? job->state : "";
  const bool runs = state == "RUNNING";
  const std::string before = std::exchange(state_, state);
  left_ = runs ? job->left : std::nullopt;
  if (job && !job->nodes.empty()) nodes_ = job->nodes;
  if (!runs) {
    if (before == state && has_ended_) return {};
    has_ended_ = true;
    return {fmt::format("Slurm: job {} {}; its engines end, and no others can be started there",
                        job_, state.empty() ? "is not there any more" : "is now " + state)};
  }
  has_ended_ = false;
  if (before.empty()) {
    told_ = left_;
    return {fmt::format(
        "Slurm: job {} on {}: {}", job_, nodes_,
        left_ ? "its time limit is reached in " + time_text(*left_) : "it has no time limit")};
  }
  return left_ ? on_time(*left_) : std::vector<std::string>();
}

std::vector<std::string> SlurmWatch::on_time(seconds left) {
  const seconds told = told_.value_or(seconds::max());
  if (left > told + kSayAgain.back()) {
    told_ = left;
    return {fmt::format("Slurm: job {} has been extended: its time limit is reached in {}", job_,
                        time_text(left))};
  }
  const bool is_due =
      std::ranges::any_of(kSayAgain, [&](seconds mark) { return left <= mark && told > mark; });
  if (!is_due) return {};
  told_ = left;
  return {
      fmt::format("Slurm: the time limit of job {} is reached in {}: Slurm ends its engines "
                  "then (scontrol update jobid={} timelimit=... extends it)",
                  job_, time_text(left), job_)};
}

std::vector<std::string> SlurmWatch::on_nodes(const std::vector<SlurmNode>& nodes) {
  std::vector<std::string> said;
  for (const SlurmNode& node : nodes) {
    const auto known = out_.find(node.name);
    if (!node.is_out()) {
      if (known == out_.end()) continue;
      out_.erase(known);
      said.push_back(fmt::format("Slurm: node {} is well again: {}", node.name, node.state));
      continue;
    }
    if (known != out_.end() && known->second == node.state) continue;
    out_[node.name] = node.state;
    said.push_back(fmt::format("Slurm: node {} {}", node.name, what_is_wrong(node)));
  }
  return said;
}

std::vector<std::string> SlurmWatch::on_silence(const std::string& program, seconds waited) {
  if (std::exchange(is_silent_, true)) return {};
  return {
      fmt::format("Slurm: `{}` has not answered within {} s: slurmctld is busy, or away "
                  "(`scontrol ping` tells); engines that run go on",
                  program, waited.count())};
}

std::vector<std::string> SlurmWatch::on_answer() {
  if (!std::exchange(is_silent_, false)) return {};
  return {"Slurm: slurmctld answers again"};
}

seconds SlurmWatch::next_look() const {
  if (!left_) return kUsual;
  return std::clamp(*left_ / 4, kShortly, kUsual);
}

}  // namespace batchproxy
