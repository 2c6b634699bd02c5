// bench/commands/run_command.cc - see run_command.h.
#include "bench/commands/run_command.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <span>
#include <stdexcept>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "bench/commands/exit_codes.h"
#include "bench/commands/files.h"
#include "bench/load/machine.h"
#include "bench/load/measure.h"
#include "bench/page/report_page.h"
#include "bench/results/text.h"
#include "bench/results/threshold.h"
#include "configs/text/build_name.h"
#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace {

const CLI::Range kPositive(1e-6, 1e9);

std::string api_key() {
  const char* key = std::getenv("OPENAI_API_KEY");
  return key == nullptr ? "" : key;
}

void add_load_flags(CLI::App& run, RunCommand& command) {
  LoadOptions& load = command.load;
  run.add_option("--workers,--max-concurrency", load.workers,
                 "Closed loop: so many, each with one request at a time")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  auto* rate = run.add_option("--rate,--request-rate", load.rate,
                              "Open loop: so many requests a second, whatever becomes of them")
                   ->check(kPositive);
  run.add_option("--arrivals", command.arrivals, "How they come in an open loop")
      ->check(CLI::IsMember({"poisson", "constant"}))
      ->capture_default_str()
      ->needs(rate);
  run.add_option("--seed", load.seed, "Of the arrivals, and of synthetic questions")
      ->capture_default_str();
  run.add_option("--requests,--num-prompts", load.requests,
                 "Requests in all (default: the questions, once)")
      ->check(CLI::Range(1, 100'000'000));
  run.add_option("--duration", load.duration, "Seconds in which requests are sent")
      ->check(kPositive);
  run.add_option("--warm-up", command.warm_up, "Does not count: 5s, or 10% of the run")
      ->capture_default_str();
  run.add_option("--cool-down", command.cool_down, "The same at its end")->capture_default_str();
  run.add_option("--repeats", command.repeats, "Runs, one after the other, for `compare`")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  run.add_option("--salt", load.salt,
                 "First line of every prompt, so that no earlier run's cache helps");
  run.add_option("--shuffle", load.shuffle, "Mix the order within windows of so many requests");
  run.add_flag("--distinct-rounds", load.distinct_rounds,
               "When questions are asked again, let their prompts begin differently");
  run.add_flag("--check-ids", load.check_ids,
               "Put an id into each prompt, have completions repeat it, and check it");
  run.add_option("--give-up", load.give_up, "Stop after so many seconds without any answer")
      ->check(kPositive)
      ->capture_default_str();
}

void add_output_flags(CLI::App& run, RunCommand& command) {
  run.add_option("--goodput", command.goodput,
                 "What a good answer keeps to, in ms: ttft:200 tpot:50 e2el:5000");
  run.add_option("--threshold", command.thresholds,
                 "What the run must reach: 'e2el.p99<2s'; exit code 3 when it does not");
  run.add_option("--json", command.json,
                 "Write the result here, in the words of `vllm bench serve` (- for stdout)")
      ->type_name("FILE");
  run.add_option("--lines", command.lines, "Write a line of JSON for each request here")
      ->type_name("FILE");
  run.add_option("--html", command.html, "Write a report with pictures here")->type_name("FILE");
  run.add_option("--ui", command.ui, "The line that shows how it goes: auto is on a terminal only")
      ->check(CLI::IsMember({"auto", "line", "none"}))
      ->capture_default_str();
}

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    const bool plain =
        !word.empty() && word.find_first_of(" '\"<>&|;$*?()\\\t\n") == std::string::npos;
    line += fmt::format("{}{}", line.empty() ? "" : " ", plain ? word : "'" + word + "'");
  }
  return line;
}

// What of the flags can be wrong in itself.
struct Wishes {
  MeasureOptions measure{};
  std::vector<Objective> objectives{};
  std::vector<Threshold> thresholds{};
};

MeasureOptions measure_options(const RunCommand& command) {
  MeasureOptions options;
  options.load = command.load;
  options.repeats = command.repeats;
  options.warm_up = parse_cut(command.warm_up);
  options.cool_down = parse_cut(command.cool_down);
  options.shows_line = shows_line(command.ui);
  return options;
}

Wishes wishes_of(const RunCommand& command) {
  Wishes wishes;
  wishes.measure = measure_options(command);
  for (const std::string& text : command.goodput) {
    wishes.objectives.push_back(parse_objective(text));
    const bool of_whole = wishes.objectives.back().latency == Latency::kE2el;
    if (!of_whole && !command.workload.manner.stream) {
      throw std::runtime_error(
          fmt::format("--goodput {}: it is measured of streams only: add --stream", text));
    }
  }
  for (const std::string& text : command.thresholds) {
    wishes.thresholds.push_back(parse_threshold(text));
  }
  // Told now, and not when all is measured.
  for (const std::string* file : {&command.json, &command.lines, &command.html}) {
    check_writable(*file);
  }
  return wishes;
}

void write_results(const RunCommand& command, const Record& record) {
  if (!command.json.empty()) write_file(command.json, to_json(record));
  if (!command.lines.empty()) write_file(command.lines, to_lines(record));
  if (!command.html.empty()) write_file(command.html, report_page({{"", record}}));
}

// All that is known before it runs.
Record describe(const RunCommand& command, const Subject& subject,
                const std::vector<ReadyQuestion>& questions,
                const std::vector<std::string>& words) {
  Record record;
  record.date = utc_stamp();
  record.model = subject.model;
  record.endpoint = questions.front().chat ? "openai-chat" : "openai";
  record.load = load_words(command.load);
  record.rate = command.load.rate;
  record.workers = command.load.rate > 0 ? 0 : command.load.workers;
  record.facts = subject.facts;
  record.facts.emplace_back("questions", words_of(command.workload, questions.size()));
  record.facts.emplace_back("load", record.load);
  record.facts.emplace_back("date", record.date + " UTC");
  record.facts.emplace_back("machine", machine_words());
  record.facts.emplace_back("program", "batchproxy-bench " + build_name());
  record.facts.emplace_back("command", joined(words));
  return record;
}

int exit_code(const Measured& measured, const Summary& summary,
              const std::vector<Verdict>& verdicts) {
  if (measured.stopped) return kInterrupted;
  if (!std::ranges::all_of(verdicts, &Verdict::kept)) return kMissed;
  const bool whole = summary.failed() == 0 && summary.ids_wrong == 0 && summary.asked > 0;
  return whole && measured.ended_early.empty() ? kAllWell : kFailed;
}

}  // namespace

void add_target_flags(CLI::App& command, Target& target) {
  command.add_option("--url", target.url, "Proxy or engine, http://HOST:PORT")->required();
  command.add_option("--admin", target.admin,
                     "The proxy's admin address, which tells of engines, batches and prefix hits");
  command.add_option("--model", target.model, "Model name (default: the first one served)");
  command.add_option("--ca-file", target.ca_file, "Whose certificates to believe, of https")
      ->type_name("FILE");
  command.add_option("--timeout", target.timeout, "Seconds for an answer")
      ->check(kPositive)
      ->capture_default_str();
}

Subject find_subject(LoadClient& client, const Target& target) {
  Subject subject;
  subject.server = client.add_server(target.url, api_key(), target.ca_file);
  if (!target.admin.empty()) {
    subject.admin = client.add_server(target.admin, api_key(), target.ca_file);
  }
  client.run(look_at(client, target.model, subject));
  return subject;
}

Duration duration_of(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

bool shows_line(const std::string& ui) {
  return ui == "line" || (ui == "auto" && ::isatty(STDERR_FILENO) == 1);
}

void add_workload_flags(CLI::App& command, WorkloadChoice& choice) {
  QuestionDefaults& defaults = choice.manner.defaults;
  defaults.max_tokens = 8;
  defaults.temperature = 0;
  auto* file = command
                   .add_option("--questions", choice.questions,
                               "In any format that `batchproxy run` reads (- for stdin)")
                   ->type_name("FILE")
                   ->capture_default_str();
  command.add_option("--column", defaults.column, "They are CSV; the prompts are in this column");
  command.add_flag("--chat", defaults.chat, "Ask through /v1/chat/completions");
  command.add_flag("--stream", choice.manner.stream, "Have answers streamed: TTFT, TPOT and ITL");
  command
      .add_option("--max-tokens", defaults.max_tokens, "Longest answer, of lines that do not say")
      ->capture_default_str();
  command.add_option("--temperature", defaults.temperature, "Of lines that do not say")
      ->capture_default_str();
  SyntheticOptions& made = choice.made;
  auto* synthetic =
      command.add_option("--synthetic", made.questions, "Make so many questions instead")
          ->check(CLI::Range(1, 10'000'000))
          ->excludes(file);
  command.add_option("--prompt-tokens", made.prompt_tokens, "Of each synthetic question")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str()
      ->needs(synthetic);
  command.add_option("--output-tokens", made.output_tokens, "Of each answer to one")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str()
      ->needs(synthetic);
  command.add_option("--shared-tokens", made.shared_tokens, "Of its beginning, shared with others")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str()
      ->needs(synthetic);
  command.add_option("--sharing", made.sharing, "So many questions share one")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str()
      ->needs(synthetic);
}

std::vector<ReadyQuestion> load_questions(const WorkloadChoice& choice, bool check_ids) {
  Manner manner = choice.manner;
  manner.echo = check_ids;
  if (choice.made.questions == 0) return load_workload(choice.questions, manner);
  SyntheticOptions made = choice.made;
  made.chat = manner.defaults.chat;
  return make_synthetic(made, manner);
}

std::string words_of(const WorkloadChoice& choice, std::size_t questions) {
  const std::string manner = fmt::format("{}{}", choice.manner.defaults.chat ? ", as chats" : "",
                                         choice.manner.stream ? ", streamed" : "");
  const SyntheticOptions& made = choice.made;
  if (made.questions == 0) {
    return fmt::format("{} of {}{}", questions, printable(choice.questions), manner);
  }
  const std::string sharing = made.shared_tokens > 0 ? fmt::format(", {} of them shared by {}",
                                                                   made.shared_tokens, made.sharing)
                                                     : "";
  return fmt::format("{} synthetic, {} tokens{}, {} answered{}", questions, made.prompt_tokens,
                     sharing, made.output_tokens, manner);
}

CLI::App* add_run_command(CLI::App& app, RunCommand& command) {
  auto* run = app.add_subcommand("run", "Ask questions of a proxy or an engine, and time them");
  add_target_flags(*run, command.target);
  add_workload_flags(*run, command.workload);
  add_load_flags(*run, command);
  add_output_flags(*run, command);
  run->footer(
      "Examples:\n"
      "  batchproxy-bench run --url http://127.0.0.1:8000 --questions q.jsonl --workers 64\n"
      "  batchproxy-bench run --url http://127.0.0.1:8000 --synthetic 1000 --rate 20 --stream\n"
      "The API key is taken from the variable OPENAI_API_KEY.\n"
      "Exit codes: 0 all answered, 1 some were not, 2 a wrong flag or line, 3 a threshold was\n"
      "missed, 130 stopped.");
  return run;
}

int run_run_command(RunCommand& command, const std::vector<std::string>& words) {
  command.load.arrivals = command.arrivals == "constant" ? Arrivals::kConstant : Arrivals::kPoisson;
  command.workload.made.seed = command.load.seed;
  Wishes wishes;
  try {
    wishes = wishes_of(command);
  } catch (const std::runtime_error& error) {
    std::cerr << "error: " << error.what() << '\n';
    return kUsage;
  }
  std::vector<ReadyQuestion> questions = load_questions(command.workload, command.load.check_ids);
  raise_descriptor_limit();
  LoadClient client(duration_of(command.target.timeout));
  const Subject subject = find_subject(client, command.target);
  give_model(subject.model, questions);

  Record record = describe(command, subject, questions, words);
  record.objectives = wishes.objectives;
  Measured measured = measure(client, subject, questions, wishes.measure);
  record.repeats = std::move(measured.repeats);
  record.ended_early = measured.ended_early;
  const Summary summary = summarise(record);
  const std::vector<Verdict> verdicts = judge(wishes.thresholds, summary);
  std::ostream& out = command.json == "-" ? std::cerr : std::cout;
  out << to_text(record) << to_text(std::span<const Verdict>(verdicts)) << std::flush;
  write_results(command, record);
  return exit_code(measured, summary, verdicts);
}

}  // namespace batchproxy::bench
