// proxy/commands/run.cc - batchproxy run QUESTIONS -o ANSWERS: a file of questions in, a file of
// answers out.
#include <iostream>
#include <memory>
#include <string>

#include "proxy/commands/asking.h"
#include "proxy/commands/commands.h"
#include "proxy/jobs/run/answer_file.h"
#include "proxy/jobs/run/job_run.h"

namespace batchproxy {

namespace {

struct RunFlags {
  RunOptions options{};
  std::string ledger{};
};

// A job has the name of its answers; of its ledger where they go to standard output.
std::string name_job(RunFlags& flags) {
  constexpr std::string_view kEnding = ".ledger";
  RunOptions& options = flags.options;
  options.job = options.answers;
  if (options.answers != kStandardOutput) {
    return flags.ledger.empty() ? ""
                                : "--ledger is for -o -: the ledger of these answers is " +
                                      ledger_of(options.answers);
  }
  if (options.retry_errors && options.ordered) {
    return "-o - with --ordered and --retry-errors would print answers twice: name a file";
  }
  if (flags.ledger.size() <= kEnding.size() || !flags.ledger.ends_with(kEnding)) {
    return "-o - needs --ledger NAME.ledger: answers are kept there, so that the run can go on";
  }
  options.job = flags.ledger.substr(0, flags.ledger.size() - kEnding.size());
  return "";
}

void add_flags(CLI::App& command, RunFlags& flags) {
  RunOptions& options = flags.options;
  command.add_option("QUESTIONS", options.questions, "A file of questions, - for standard input")
      ->required();
  command
      .add_option("-o,--answers", options.answers,
                  "The file of their answers, - for standard output")
      ->type_name("FILE")
      ->required();
  command.add_option("--ledger", flags.ledger, "With -o -: the file, NAME.ledger, that keeps them")
      ->type_name("FILE");
  command.add_flag("--ordered", options.ordered, "Answers in the order of the questions");
  command.add_flag("--provenance", options.provenance,
                   "Each answer says where it is from, and when");
  command.add_flag("--retry-errors", options.retry_errors, "Ask again what has failed before");
  command.add_flag("--drop-changed", options.drop_changed,
                   "Ask again what has an answer and is another question now");
  command.add_flag("--dry-run", options.dry_run, "Say what the file holds, and ask nothing");
  command.add_option("--limit", options.limits.questions, "Ask so many questions at most")
      ->check(CLI::PositiveNumber);
  add_asking_flags(command, options.proxy, options.defaults, options.limits);
}

int run(const CommandLine& arguments, RunFlags flags) {
  RunOptions& options = flags.options;
  if (const std::string wrong = name_job(flags); !wrong.empty()) {
    std::cerr << "error: " << wrong << '\n';
    return kUsage;
  }
  if (!options.dry_run && !choose_proxy(arguments, options.proxy)) return kUsage;
  return run_job(options);
}

}  // namespace

Command add_run(CLI::App& app, CommandLine& arguments) {
  CLI::App* command =
      app.add_subcommand("run", "Answer a file of questions; run again, and it goes on");
  const auto options = std::make_shared<RunFlags>();
  add_flags(*command, *options);
  command->footer(
      "Lines are OpenAI batch lines, JSON with \"prompt\", \"messages\" or \"input\", "
      "multiple-choice\n"
      "questions, or CSV (--column). Exit code 0: all have an answer; 5: some have failed, see\n"
      "ANSWERS.errors; 130: stopped. OPENAI_API_KEY is sent along where it is set.\n\n"
      "Examples:\n"
      "  batchproxy run questions.jsonl -o answers.jsonl --config my.yaml      engines of its own\n"
      "  batchproxy run questions.jsonl -o answers.jsonl --url http://gpu1:8000\n"
      "  batchproxy run table.csv --column prompt --chat -o answers.jsonl --backend "
      "http://gpu1:8000\n"
      "  batchproxy run questions.jsonl -o answers.jsonl --dry-run             what would be sent");
  return {command, [&arguments, options] { return run(arguments, *options); }};
}

}  // namespace batchproxy
