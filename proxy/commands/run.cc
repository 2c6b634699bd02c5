// proxy/commands/run.cc - batchproxy run QUESTIONS -o ANSWERS: a file of questions in, a file of
// answers out.
#include <cstdlib>
#include <memory>
#include <string>

#include "proxy/commands/commands.h"
#include "proxy/jobs/run/job_run.h"

namespace batchproxy {

namespace {

void add_flags(CLI::App& command, RunOptions& options) {
  command.add_option("QUESTIONS", options.questions, "A file of questions, - for standard input")
      ->required();
  command.add_option("-o,--answers", options.answers, "The file of their answers")->required();
  command.add_option("--url", options.url, "Ask this proxy or server, instead of one of its own");
  command.add_flag("--ordered", options.ordered, "Answers in the order of the questions");
  command.add_flag("--provenance", options.provenance,
                   "Each answer says where it is from, and when");
  command.add_flag("--retry-errors", options.retry_errors, "Ask again what has failed before");
  command.add_flag("--dry-run", options.dry_run, "Say what the file holds, and ask nothing");
  command.add_option("--limit", options.limits.questions, "Ask so many questions at most")
      ->check(CLI::PositiveNumber);
  command.add_option("--concurrency", options.limits.in_flight, "Questions in flight (256)")
      ->check(CLI::Range(1, 100'000));
  command.add_option("--attempts", options.limits.attempts, "Tries for each question (5)")
      ->check(CLI::Range(1, 1000));
  QuestionDefaults& defaults = options.defaults;
  command.add_option("--column", defaults.column,
                     "The file is CSV; its prompts are in this column");
  command.add_flag("--chat", defaults.chat, "Ask prompts as a user's messages");
  command.add_option("--default-model", defaults.model,
                     "For lines that name no model (the first that is served)");
  command.add_option("--max-tokens", defaults.max_tokens, "For lines that do not say");
  command.add_option("--temperature", defaults.temperature, "For lines that do not say");
}

// The proxy of a run is started with the words that this one was.
std::vector<std::string> words_of(const CommandLine& arguments) {
  std::vector<std::string> words;
  if (!arguments.config.empty()) words.push_back("--config=" + arguments.config);
  for (const auto& [name, value] : arguments.keys.given) {
    words.push_back(name + "=" + value);
  }
  return words;
}

int run(const CommandLine& arguments, RunOptions options) {
  const char* key = std::getenv("OPENAI_API_KEY");
  if (key != nullptr) options.api_key = key;
  if (options.url.empty() && !options.dry_run) {
    const LoadResult loaded = load_options(arguments);
    print(loaded.diagnostics);
    if (!loaded.ok()) return kUsage;
    options.program = self_executable();
    options.flags = words_of(arguments);
  }
  return run_job(options);
}

}  // namespace

Command add_run(CLI::App& app, CommandLine& arguments) {
  CLI::App* command =
      app.add_subcommand("run", "Answer a file of questions; run again, and it goes on");
  const auto options = std::make_shared<RunOptions>();
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
