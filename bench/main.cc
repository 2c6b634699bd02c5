// bench/main.cc - the program `batchproxy-bench`: puts load on a proxy or an engine and prints what
// came of it, or compares scheduling policies in virtual time.
//
// Exit codes: 0 every question was answered, or every promise kept; 1 some were not; 2 usage.
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bench/load/load.h"
#include "bench/load/report.h"
#include "bench/load/scrape.h"
#include "bench/policy/command.h"
#include "configs/text/nearest_name.h"

namespace batchproxy::bench {
namespace {

constexpr int kUsage = 2;

struct CommandLine {
  LoadOptions load;
  std::string questions = "configs/questions.jsonl";
  std::string admin;
  std::string answers;
  bool json = false;
};

std::optional<double> prefix_hits(const EngineCounters& before, const EngineCounters& after) {
  const double queries = after.prefix_queries - before.prefix_queries;
  if (queries <= 0) return std::nullopt;
  return (after.prefix_hits - before.prefix_hits) / queries;
}

int run_questions(const CommandLine& line) {
  const auto questions = load_questions(line.questions);
  std::optional<EngineCounters> before;
  if (!line.admin.empty()) before = scrape_engines(line.admin);
  const LoadResult result = run_load(questions, line.load);
  Report report = summarise(questions, result);
  if (before) report.prefix_hits = prefix_hits(*before, scrape_engines(line.admin));
  if (!line.answers.empty()) {
    std::ofstream out(line.answers);
    out << answers_to_jsonl(result);
    if (!out) throw std::runtime_error("cannot write " + line.answers);
  }
  std::cout << (line.json ? to_json(report) + "\n" : to_text(report));
  return report.answered == report.asked ? 0 : 1;
}

// Says which words are not known, and what may have been meant.
int refuse_unknown(const CLI::App& app, const std::vector<std::string>& words) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) {
    names.push_back(command->get_name());
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  for (const std::string& word : words) {
    const std::string name = word.substr(0, word.find('='));
    const std::string hint = suggestion(name, {names.begin(), names.end()});
    if (!name.starts_with('-') && hint.empty()) continue;  // the value of a flag that nobody knows
    std::cerr << "error: unknown word '" << name << "'" << hint << '\n';
  }
  std::cerr << "Run with --help for more information.\n";
  return kUsage;
}

int run(int argc, char** argv) {
  CommandLine line;
  PolicyCommand policy;
  CLI::App app("Load for batchproxy: scores multiple-choice questions and times them.",
               "batchproxy-bench");
  app.require_subcommand(1);
  auto* questions = app.add_subcommand("questions", "Ask every question of a file once");
  questions->add_option("--url", line.load.url, "Proxy or engine, http://HOST:PORT")->required();
  questions->add_option("--questions", line.questions,
                        "JSON Lines: passage, question, options, label");
  questions->add_option("--workers", line.load.workers, "Workers, each with one request at a time")
      ->check(CLI::Range(1, 10000));
  questions
      ->add_option("--requests", line.load.requests, "Requests in all (default: the questions)")
      ->check(CLI::Range(1, 10000000));
  questions->add_option("--model", line.load.model, "Model name (default: the first one served)");
  questions->add_option("--max-tokens", line.load.max_tokens, "Longest answer, in tokens");
  questions->add_flag("--chat", line.load.chat, "Ask through /v1/chat/completions");
  questions->add_option("--salt", line.load.salt,
                        "First line of every prompt, so that no earlier run's cache helps");
  questions->add_option("--shuffle", line.load.shuffle,
                        "Mix the order within windows of so many requests");
  questions->add_flag("--distinct-rounds", line.load.distinct_rounds,
                      "When questions are asked again, let their prompts begin differently");
  questions->add_option("--admin", line.admin,
                        "The proxy's admin address, to report the engines' prefix hits");
  questions->add_option("--answers", line.answers, "Write every answer to this file");
  questions->add_flag("--json", line.json, "Print the figures as JSON");
  const auto* policies = add_policy_command(app, policy);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    return refuse_unknown(app, app.remaining(true));
  } catch (const CLI::RequiredError& error) {
    const bool misspelt = argc > 1 && app.get_subcommands().empty();
    if (misspelt) return refuse_unknown(app, {argv[1]});
    app.exit(error);
    return kUsage;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return policies->parsed() ? run_policy_command(policy) : run_questions(line);
}

}  // namespace
}  // namespace batchproxy::bench

int main(int argc, char** argv) {
  try {
    return batchproxy::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
