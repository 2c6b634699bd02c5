// bench/commands/advise_command.cc - see advise_command.h.
#include "bench/commands/advise_command.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bench/advice/sample.h"
#include "bench/advice/trial_config.h"
#include "bench/commands/exit_codes.h"
#include "bench/commands/files.h"
#include "bench/load/machine.h"
#include "bench/page/advice_page.h"
#include "bench/trial/interrupt.h"
#include "bench/trial/live_trial.h"
#include "bench/trial/programs.h"
#include "bench/trial/trial_proxy.h"
#include "bench/trial/user_config.h"
#include "configs/text/build_name.h"
#include "configs/text/printable.h"
#include "configs/yaml/writer.h"

namespace batchproxy::bench {

namespace fs = std::filesystem;

namespace {

constexpr int kLongestContext = 32768;  // of a simulated engine that does not say

std::string api_key() {
  const char* key = std::getenv("OPENAI_API_KEY");
  return key == nullptr ? "" : key;
}

// Tries one topology after the other.
class Adviser {
 public:
  Adviser(const AdviseCommand& command, const UserConfig& config, const Box& box,
          std::string program, std::vector<ReadyQuestion> questions)
      : command_(command),
        config_(config),
        box_(box),
        program_(std::move(program)),
        questions_(std::move(questions)),
        shows_line_(shows_line(command.ui)) {}

  AdviceLog run(const std::vector<Topology>& topologies) {
    const auto begun = std::chrono::steady_clock::now();
    if (box_.simulated) log_.simulated = box_.card();
    for (const Topology& topology : topologies) {
      if (interrupt_.has_come()) break;
      Candidate& candidate = log_.candidates.emplace_back();
      candidate.topology = topology;
      attempt(candidate);
      if (!candidate.skipped.empty()) tell(topology, "skipped: " + candidate.skipped);
    }
    log_.stopped = interrupt_.has_come();
    log_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    return std::move(log_);
  }

 private:
  void attempt(Candidate& candidate) {
    const std::string folder = command_.folder + "/" + folder_of(candidate.topology);
    fs::create_directories(folder);
    const std::string file = folder + "/config.yaml";
    TrialScene scene{folder, box_.simulated, box_.gpus, box_.hardware, box_.time_scale};
    write_private_file(file, trial_config(config_.tree, candidate.topology, scene));
    if (!box_.simulated) {
      const MemoryAnswer answer = plan_of(program_, file);
      if (!answer.fits) {
        candidate.skipped = answer.reason;
        return;
      }
    }
    serve(candidate, file, folder);
  }

  void serve(Candidate& candidate, const std::string& file, const std::string& folder) {
    tell(candidate.topology, "starting");
    const auto begun = std::chrono::steady_clock::now();
    LoadClient client(duration_of(command_.timeout));
    TrialProxy proxy(program_, file, folder);
    StartWatch watch;
    watch.engines = candidate.topology.engines;
    watch.api_key = api_key();
    watch.interrupted = [this] { return interrupt_.has_come(); };
    watch.told = [&](const std::string& doing) { tell(candidate.topology, doing); };
    const TrialProxy::Outcome outcome = proxy.wait(client, watch);
    candidate.remarks = proxy.repairs();
    if (outcome == TrialProxy::Outcome::kCutShort) {
      candidate.skipped = "stopped while it was starting";
      return;
    }
    if (outcome == TrialProxy::Outcome::kNotStarted) {
      candidate.skipped = proxy.problem();
      return;
    }
    candidate.start_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    measure_all(candidate, client, proxy);
  }

  void measure_all(Candidate& candidate, LoadClient& client, const TrialProxy& proxy) {
    Target target;
    target.url = proxy.url();
    target.admin = proxy.admin();
    const Subject subject = find_subject(client, target);
    std::vector<ReadyQuestion> questions = questions_;
    give_model(subject.model, questions);
    const EngineSizes sizes = sizes_of(client, subject);
    candidate.context = sizes.context;
    candidate.kv_tokens = sizes.kv_tokens;
    for (const std::size_t workers : command_.workers) {
      if (interrupt_.has_come()) return;
      tell(candidate.topology, worker_words(workers));
      TrialOptions options{candidate.topology, workers, command_.duration,
                           box_.simulated ? box_.time_scale : 1, shows_line_,
                           [this] { return interrupt_.has_come(); }};
      MeasuredTrial measured = measure_trial(client, subject, questions, options);
      if (measured.asked == 0) return;
      if (!measured.ended_early.empty()) {
        candidate.remarks.push_back(
            fmt::format("{}: cut short: {}", worker_words(workers), measured.ended_early));
      }
      if (box_.simulated && stages_of(config_.options) == 1) {
        const auto context = static_cast<int>(sizes.context.value_or(kLongestContext));
        reckon(world_of(candidate.topology, box_, config_.options), questions, context,
               measured.trial);
      }
      candidate.trials.push_back(std::move(measured.trial));
    }
  }

  static void tell(const Topology& topology, const std::string& text) {
    std::cerr << fmt::format("{}: {}\n", words_of(topology), text);
  }

  const AdviseCommand& command_;
  const UserConfig& config_;
  const Box& box_;
  const std::string program_;
  const std::vector<ReadyQuestion> questions_;
  const bool shows_line_;
  Interrupt interrupt_;
  AdviceLog log_;
};

// A file that somebody else has written is not written over.
void check_out(const std::string& out) {
  check_writable(out);
  std::error_code ignored;
  if (out == "-" || !fs::exists(out, ignored)) return;
  if (read_file(out).starts_with(kAdvisedMark)) return;
  throw std::runtime_error(fmt::format(
      "{} is there already, and was not written by advise: name another file with --out",
      printable(out)));
}

std::vector<ReadyQuestion> sampled(const AdviseCommand& command, std::size_t& all) {
  std::vector<ReadyQuestion> questions = load_questions(command.workload, false);
  all = questions.size();
  std::vector<ReadyQuestion> sample;
  for (const std::size_t place : sample_of(all, command.sample)) {
    sample.push_back(std::move(questions[place]));
  }
  return sample;
}

Facts facts_of(const AdviseCommand& command, const UserConfig& config, const Box& box,
               std::size_t sample, std::size_t all) {
  const std::string of_all = sample == all ? "" : fmt::format("a sample of {} of ", sample);
  Facts facts;
  facts.emplace_back("model", config.options.worker.hf_model_id->empty()
                                  ? *config.options.worker.model
                                  : *config.options.worker.hf_model_id);
  if (!command.config.empty()) facts.emplace_back("made of", config.name);
  facts.emplace_back(
      "engines",
      box.simulated ? fmt::format("simulated, on {} {} ({}): the time is theirs, Llama-2-7B's, and "
                                  "the answers are invented",
                                  box.gpus, box.card(), box.why)
                    : fmt::format("vLLM on {} GPUs", box.gpus));
  facts.emplace_back("questions", of_all + words_of(command.workload, all));
  facts.emplace_back(
      "each run", fmt::format("{:g} s at most; its first fifth does not count", command.duration));
  facts.emplace_back("date", utc_stamp() + " UTC");
  facts.emplace_back("machine", machine_words());
  facts.emplace_back("program", "batchproxy-bench " + build_name());
  return facts;
}

std::vector<std::string> remarks_for(const AdviceLog& log, const Advice& advice) {
  std::vector<std::string> remarks;
  if (!log.simulated.empty()) {
    remarks.push_back(
        fmt::format("Measured on SIMULATED {} engines: no GPU was asked.", log.simulated));
  }
  remarks.push_back(advice.reason);
  for (const auto& [name, value] : log.facts) remarks.push_back(name + ": " + printable(value));
  return remarks;
}

}  // namespace

CLI::App* add_advise_command(CLI::App& app, AdviseCommand& command) {
  auto* advise = app.add_subcommand(
      "advise", "Which topology for my questions: start each, measure it, write the configuration");
  auto* config = advise->add_option("--config", command.config, "Your configuration");
  advise->add_option("--model", command.model, "Or a model alone: a Hugging Face id or a directory")
      ->excludes(config);
  add_workload_flags(*advise, command.workload);
  advise
      ->add_option("--sample", command.sample,
                   "So many of the questions, taken in runs of neighbours")
      ->check(CLI::Range(1, 100'000'000))
      ->capture_default_str();
  advise->add_option("--workers", command.workers, "So many at a time")
      ->check(CLI::Range(1, 100'000))
      ->delimiter(',')
      ->capture_default_str();
  advise->add_option("--duration", command.duration, "Most seconds of each run")
      ->check(CLI::Range(0.1, 86'400.0))
      ->capture_default_str();
  advise->add_option("--topology", command.topologies, "Only these: 1xTP8, 4xTP2 …")
      ->delimiter(',');
  advise
      ->add_option("--simulate", command.box.simulated_gpus,
                   "Simulated engines, on so many GPUs (default: where there is no GPU, on 8)")
      ->check(CLI::Range(1, 1024));
  advise->add_option("--sim-hardware", command.box.hardware, "Of simulated engines: a100 or h100")
      ->check(CLI::IsMember({"a100", "h100"}));
  advise
      ->add_option("--sim-time-scale", command.box.time_scale,
                   "Real seconds for each simulated one; figures stay those of simulated time")
      ->check(CLI::Range(0.001, 100.0));
  advise->add_option("--program", command.program, "batchproxy, where it is not beside this one");
  advise->add_option("--folder", command.folder, "For each topology's configuration and logs")
      ->capture_default_str();
  advise->add_option("--out", command.out, "Write the advised configuration here")
      ->capture_default_str();
  advise->add_option("--html", command.html, "Write a report with pictures here");
  advise->add_option("--json", command.json, "Write the figures here (- for stdout)");
  advise->add_option("--timeout", command.timeout, "Seconds for an answer")
      ->check(CLI::Range(0.1, 86'400.0))
      ->capture_default_str();
  advise
      ->add_option("--ui", command.ui,
                   "The line that shows how it goes: auto is on a terminal only")
      ->check(CLI::IsMember({"auto", "line", "none"}))
      ->capture_default_str();
  advise->footer(
      "Examples:\n"
      "  batchproxy-bench advise --config multi_gpu_batch_config.yaml --questions my.jsonl\n"
      "  batchproxy-bench advise --model meta-llama/Llama-2-7b-chat-hf --simulate 8 --synthetic "
      "500 "
      "--output-tokens 150\n"
      "Ctrl-C stops all that was started, and prints what there is.");
  return advise;
}

int run_advise_command(const AdviseCommand& command) {
  if (command.config.empty() && command.model.empty()) {
    std::cerr << "error: for which model? Give your configuration with --config, or --model\n";
    return kUsage;
  }
  const std::string text =
      command.config.empty() ? to_yaml(config_for_model(command.model)) : read_file(command.config);
  const UserConfig config =
      read_user_config(text, command.config.empty() ? command.model : command.config);
  for (const std::string& problem : config.problems) std::cerr << problem << '\n';
  if (!config.problems.empty()) return kUsage;
  try {  // now, and not when all is measured
    check_out(command.out);
    check_writable(command.html);
    check_writable(command.json);
  } catch (const std::runtime_error& error) {
    std::cerr << "error: " << error.what() << '\n';
    return kUsage;
  }
  const std::string program = find_batchproxy(command.program);
  const Box box = find_box(command.box, config.options, program);
  const std::vector<Topology> topologies =
      wanted_topologies(command.topologies, box, config.options);
  std::size_t all = 0;
  std::vector<ReadyQuestion> questions = sampled(command, all);
  const std::size_t sample = questions.size();
  raise_descriptor_limit();

  Adviser adviser(command, config, box, program, std::move(questions));
  AdviceLog log = adviser.run(topologies);
  log.facts = facts_of(command, config, box, sample, all);
  log.facts.emplace_back("took", fmt::format("{:.0f} s", log.seconds));
  std::ostream& out = command.json == "-" ? std::cerr : std::cout;
  out << to_text(log) << std::flush;
  if (!command.json.empty()) write_file(command.json, to_json(log));
  if (!command.html.empty()) write_file(command.html, advice_page(log));
  if (log.stopped) return kInterrupted;
  const std::optional<Advice> advice = advise(log);
  if (!advice) return kFailed;
  write_private_file(
      command.out, advised_config(config.tree, advice->candidate->topology, advice->trial->workers,
                                  remarks_for(log, *advice)));
  out << "The configuration is " << printable(command.out) << ": batchproxy --config "
      << printable(command.out) << '\n';
  return kAllWell;
}

}  // namespace batchproxy::bench
