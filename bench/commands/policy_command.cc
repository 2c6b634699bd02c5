// bench/commands/policy_command.cc - see policy_command.h.
#include "bench/commands/policy_command.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bench/advice/topology.h"
#include "bench/commands/exit_codes.h"
#include "bench/commands/files.h"
#include "bench/policy/replay.h"
#include "bench/policy/report.h"

namespace batchproxy::bench {

namespace {

constexpr std::size_t kBoxOfGpus = 8;
// Of each situation: enough to leave out the beginning, in which caches fill.
constexpr std::size_t kLeastRequests = 2000;
constexpr std::size_t kRequestsPerWorker = 16;

template <class Value, class Wanted>
bool passes(const Value& value, const std::vector<Wanted>& wanted) {
  return wanted.empty() || std::ranges::find(wanted, value) != wanted.end();
}

bool is_wanted(const Cell& cell, const PolicyCommand& command) {
  return passes(gpu_name(cell.world.gpu), command.hardware) &&
         passes(shape_of(cell), command.shapes) &&
         passes(name_of(cell.workload.kind), command.workloads) &&
         passes(cell.workload.sharing, command.sharing) &&
         passes(cell.world.workers, command.workers);
}

std::vector<Policy> wanted_policies(const std::vector<std::string>& names) {
  std::vector<Policy> wanted;
  for (const Policy policy : kAllPolicies) {
    if (passes(std::string_view("all"), names) || passes(name_of(policy), names)) {
      wanted.push_back(policy);
    }
  }
  return wanted;
}

std::vector<Cell> cells_of_grid(const PolicyCommand& command) {
  std::vector<Cell> cells = command.grid == "small" ? small_grid() : default_grid();
  std::erase_if(cells, [&](const Cell& cell) { return !is_wanted(cell, command); });
  if (cells.empty()) throw std::runtime_error("no situation of the grid passes these filters");
  std::vector<Cell> all;
  for (std::size_t i = 0; i < command.seeds; ++i) {
    for (Cell& cell : cells) cell.workload.seed = command.seed + i;
    all.insert(all.end(), cells.begin(), cells.end());
  }
  return all;
}

WorkloadChoice own_questions(const PolicyCommand& command) {
  WorkloadChoice choice = command.own.questions;
  if (command.own.prompt_tokens == 0) return choice;
  choice.made.questions = kLeastRequests;
  choice.made.prompt_tokens = command.own.prompt_tokens;
  choice.made.output_tokens = command.own.output_tokens;
  choice.made.shared_tokens = command.own.shared_tokens;
  choice.made.sharing = command.sharing.empty() ? 1 : static_cast<std::size_t>(command.sharing[0]);
  choice.made.seed = command.seed;
  return choice;
}

// Each topology with each number of workers.
std::vector<Cell> cells_of_own(const PolicyCommand& command) {
  const OwnWork& own = command.own;
  const WorkloadChoice choice = own_questions(command);
  const std::vector<ReadyQuestion> questions = load_questions(choice, false);
  std::vector<std::size_t> workers = command.workers;
  if (workers.empty()) workers = {8, 32, 128};
  std::vector<Cell> cells;
  for (const std::size_t count : workers) {
    const std::size_t requests = std::max(kLeastRequests, kRequestsPerWorker * count);
    const auto asked = std::make_shared<const std::vector<PromptRequest>>(
        replay(questions, requests, own.max_model_len));
    for (const sim::Gpu gpu : {sim::Gpu::kA100, sim::Gpu::kH100}) {
      for (const Topology& topology : topologies_of(kBoxOfGpus)) {
        Cell cell;
        cell.asked = asked;
        cell.asked_name = words_of(choice, questions.size());
        cell.world.gpu = gpu;
        cell.world.servers = topology.engines;
        cell.world.tensor_parallel = topology.tensor_parallel;
        cell.world.workers = count;
        cell.world.max_num_seqs = own.max_num_seqs;
        cell.world.max_num_batched_tokens = own.max_num_batched_tokens;
        const bool is_here = command.hardware.empty() ? gpu == sim::Gpu::kA100
                                                      : passes(gpu_name(gpu), command.hardware);
        if (is_here && passes(shape_of(cell), command.shapes)) cells.push_back(std::move(cell));
      }
    }
  }
  if (cells.empty()) throw std::runtime_error("no topology passes these filters");
  return cells;
}

void add_own_flags(CLI::App& policy, OwnWork& own) {
  QuestionDefaults& defaults = own.questions.manner.defaults;
  defaults.max_tokens = 8;
  defaults.temperature = 0;
  const CLI::Range tokens(1, 1'000'000);
  auto* file = policy.add_option("--questions", own.questions.questions,
                                 "Your own, in any format that `batchproxy run` reads");
  policy.add_option("--column", defaults.column, "They are CSV; the prompts are in this column")
      ->needs(file);
  policy.add_flag("--chat", defaults.chat, "Ask through /v1/chat/completions");
  policy
      .add_option("--max-tokens", defaults.max_tokens, "Longest answer, of lines that do not say")
      ->capture_default_str();
  auto* prompt = policy
                     .add_option("--prompt-tokens", own.prompt_tokens,
                                 "Or lengths: of each prompt, with what it shares")
                     ->check(tokens)
                     ->excludes(file);
  policy.add_option("--output-tokens", own.output_tokens, "Of each answer")
      ->check(tokens)
      ->capture_default_str()
      ->needs(prompt);
  policy
      .add_option("--shared-tokens", own.shared_tokens,
                  "Of its beginning, which --sharing prompts share")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str()
      ->needs(prompt);
  policy.add_option("--max-num-seqs", own.max_num_seqs, "Of each engine, as vLLM has it")
      ->check(CLI::Range(1, 65'536));
  policy
      .add_option("--max-num-batched-tokens", own.max_num_batched_tokens,
                  "Of each engine, as vLLM has it")
      ->check(tokens);
  policy
      .add_option("--max-model-len", own.max_model_len, "Of each engine; longer ones are left out")
      ->check(tokens)
      ->capture_default_str();
  policy.parse_complete_callback(
      [&own, file, prompt] { own.wanted = file->count() + prompt->count() > 0; });
}

}  // namespace

CLI::App* add_policy_command(CLI::App& app, PolicyCommand& command) {
  auto* policy = app.add_subcommand(
      "policy", "How batchproxy sends requests beside other ways, in virtual time: no GPU needed");
  add_own_flags(*policy, command.own);
  policy->add_option("--grid", command.grid, "Which situations, without questions of your own")
      ->check(CLI::IsMember({"default", "small"}))
      ->capture_default_str();
  std::vector<std::string> names{"all"};
  for (const Policy each : kAllPolicies) names.emplace_back(name_of(each));
  policy->add_option("--policy", command.policies, "Which ways of sending, or all")
      ->check(CLI::IsMember(names))
      ->delimiter(',');
  policy->add_option("--hardware", command.hardware, "Only this")
      ->check(CLI::IsMember({"a100", "h100"}))
      ->delimiter(',');
  policy->add_option("--shape", command.shapes, "Only these engines; 2xTP4 with your own questions")
      ->check(CLI::IsMember({"1xTP8", "2xTP4", "4xTP2", "8xTP1"}))
      ->delimiter(',');
  policy->add_option("--workload", command.workloads, "Of the grid, only this")
      ->check(CLI::IsMember({"mcqa", "mcqa1", "gen", "mix", "tiny", "long"}))
      ->delimiter(',');
  policy
      ->add_option("--sharing", command.sharing,
                   "Of the grid, only so many requests to a passage; or with --shared-tokens")
      ->check(CLI::Range(1, 1'000'000))
      ->delimiter(',');
  policy->add_option("--workers", command.workers, "Only so many workers")
      ->check(CLI::Range(1, 100'000))
      ->delimiter(',');
  policy->add_option("--seed", command.seed, "Other seeds make other requests of the same kinds")
      ->capture_default_str();
  policy
      ->add_option("--seeds", command.seeds,
                   "Of the grid, means over so many: one run of a situation is 2 % of chance")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  policy->add_option("--json", command.json, "Write the figures to this file")->type_name("FILE");
  policy->add_option("--threads", command.threads, "Situations at a time (default: one per core)");
  policy->footer(
      "Examples:\n"
      "  batchproxy-bench policy                                    the grid, and its promises\n"
      "  batchproxy-bench policy --questions my.jsonl --workers 64  which topology for my "
      "questions\n"
      "  batchproxy-bench policy --prompt-tokens 1500 --output-tokens 8 --shared-tokens 1200 "
      "--sharing 4");
  return policy;
}

int run_policy_command(const PolicyCommand& command) {
  try {
    check_writable(command.json);
  } catch (const std::runtime_error& error) {
    std::cerr << "error: " << error.what() << '\n';
    return kUsage;
  }
  const bool is_own = command.own.wanted;
  const std::vector<Cell> cells = is_own ? cells_of_own(command) : cells_of_grid(command);
  const unsigned threads =
      command.threads != 0 ? command.threads : std::max(1U, std::thread::hardware_concurrency());
  std::vector<Row> rows = run_grid(cells, wanted_policies(command.policies), threads);
  if (!is_own) rows = mean_of_runs(rows, command.seeds);
  // The promises speak of the grid's situations.
  const std::vector<Promise> promises = is_own ? std::vector<Promise>() : check_promises(rows);
  std::cout << to_text(std::span<const Row>(rows))
            << (is_own ? best_topologies(rows) : to_text(std::span<const Promise>(promises)))
            << std::flush;
  if (!command.json.empty()) write_file(command.json, to_json(rows) + "\n");
  return std::ranges::all_of(promises, &Promise::kept) ? kAllWell : kFailed;
}

}  // namespace batchproxy::bench
