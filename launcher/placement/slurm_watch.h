// launcher/placement/slurm_watch.h - SlurmWatch: what of Slurm's answers is worth a sentence.
//
// Threading: plain values; no clock: the time that is left comes with each answer.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launcher/placement/slurm_text.h"

namespace batchproxy {

class SlurmWatch {
 public:
  explicit SlurmWatch(std::string job) : job_(std::move(job)) {}

  // What squeue tells of the job; nothing: it does not know it any more.
  std::vector<std::string> on_job(const std::optional<SlurmJob>& job);
  // What sinfo tells of its nodes.
  std::vector<std::string> on_nodes(const std::vector<SlurmNode>& nodes);

  // That program of Slurm's has not answered for so long; and: one has.
  std::vector<std::string> on_silence(const std::string& program, std::chrono::seconds waited);
  std::vector<std::string> on_answer();

  // When to ask again.
  std::chrono::seconds next_look() const;

  // "n[1-2]"; empty until squeue has told.
  const std::string& nodes() const { return nodes_; }

 private:
  std::vector<std::string> on_time(std::chrono::seconds left);

  const std::string job_;
  std::string nodes_;
  std::string state_;
  std::optional<std::chrono::seconds> left_;
  std::optional<std::chrono::seconds> told_;  // how much was left when that was last said
  std::map<std::string, std::string> out_;    // nodes that are out, with their states
  bool has_ended_ = false;
  bool is_silent_ = false;
};

}  // namespace batchproxy
