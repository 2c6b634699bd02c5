// bench/commands/run_command.h - `batchproxy-bench run`: its flags, and what it prints and writes.
//
// Threading: the main thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <CLI/App.hpp>

#include "bench/load/client.h"
#include "bench/load/load.h"
#include "bench/load/subject.h"
#include "bench/load/synthetic.h"

namespace batchproxy::bench {

// What is asked, and of whom; `sweep` has the same.
struct Target {
  std::string url{};
  std::string admin{};
  std::string model{};
  std::string ca_file{};
  double timeout = 600;  // seconds
};
void add_target_flags(CLI::App& command, Target& target);

// Looks at it. Throws std::runtime_error.
Subject find_subject(LoadClient& client, const Target& target);
Duration duration_of(double seconds);
// Whether the line that shows how it goes is drawn: "auto", "line" or "none".
bool shows_line(const std::string& ui);

struct WorkloadChoice {
  std::string questions = "configs/questions.jsonl";
  SyntheticOptions made{};
  Manner manner{};
};
void add_workload_flags(CLI::App& command, WorkloadChoice& choice);
// Throws UnusableWorkload.
std::vector<ReadyQuestion> load_questions(const WorkloadChoice& choice, bool check_ids);
// "151 questions of configs/questions.jsonl".
std::string words_of(const WorkloadChoice& choice, std::size_t questions);

struct RunCommand {
  Target target{};
  WorkloadChoice workload{};
  LoadOptions load{};
  std::string arrivals = "poisson";
  std::size_t repeats = 1;
  std::string warm_up = "0s", cool_down = "0s";
  std::vector<std::string> goodput{};
  std::vector<std::string> thresholds{};
  std::string json{}, lines{}, html{};  // files to write
  std::string ui = "auto";
};

// Declares the subcommand; `command` receives what is given and must outlive `app`.
CLI::App* add_run_command(CLI::App& app, RunCommand& command);

// The exit code. `words`: the command line, which the result states. Throws std::runtime_error for
// flags that say nothing, and files that cannot be read or written.
int run_run_command(RunCommand& command, const std::vector<std::string>& words);

}  // namespace batchproxy::bench
