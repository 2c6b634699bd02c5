// proxy/commands/jobs.cc - batchproxy jobs: what has become of runs, and their ledgers.
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "configs/text/number.h"
#include "configs/text/printable.h"
#include "proxy/commands/asking.h"
#include "proxy/commands/commands.h"
#include "proxy/jobs/run/manage.h"
#include "proxy/jobs/run/progress.h"
#include "proxy/jobs/run/verify.h"

namespace batchproxy {

namespace {

// All that the words behind `jobs` say.
struct JobsFlags {
  std::string folder = ".";
  std::string sample = "1%";
  ExportOptions exported{};
  VerifyOptions verified{};
};

// "1%", "100 %" or "0.01".
std::optional<double> share_in(std::string text) {
  const bool percent = text.ends_with('%');
  if (percent) text.pop_back();
  while (text.ends_with(' ')) text.pop_back();
  const auto number = number_in<double>(text);
  if (!number) return std::nullopt;
  const double share = percent ? *number / 100 : *number;
  return share > 0 && share <= 1 ? std::optional(share) : std::nullopt;
}

int list(const JobsFlags& flags) {
  const std::string text = list_jobs(flags.folder);
  std::cout << (text.empty() ? "no jobs in " + printable(flags.folder) + "\n" : text);
  return 0;
}

int verify(const CommandLine& arguments, JobsFlags& flags) {
  VerifyOptions& options = flags.verified;
  options.answers = flags.exported.answers;
  const auto share = share_in(flags.sample);
  if (!share) {
    std::cerr << "error: --sample is a share such as 1% or 0.05\n";
    return kUsage;
  }
  options.sample = *share;
  if (!choose_proxy(arguments, options.proxy)) return kUsage;
  const VerifyResult result = verify_job(options);
  std::cout << result.examples;
  const std::int64_t answered = result.same + result.other;
  std::cout << fmt::format(
      "{} asked again: {} say the same, {} say something else ({:.2f} %)",
      with_commas(result.asked), with_commas(result.same), with_commas(result.other),
      answered == 0 ? 0.0
                    : 100.0 * static_cast<double>(result.other) / static_cast<double>(answered));
  if (result.unanswered > 0)
    std::cout << fmt::format(", {} failed", with_commas(result.unanswered));
  std::cout << '\n';
  if (result.unknown > 0) {
    std::cout << fmt::format(
        "{} lines are not the questions of this job: give the flags that its run had\n",
        with_commas(result.unknown));
  }
  return 0;
}

CLI::App* add_verb(CLI::App& jobs, JobsFlags& flags, const char* name, const char* help) {
  CLI::App* verb = jobs.add_subcommand(name, help);
  verb->add_option("ANSWERS", flags.exported.answers, "The job's file of answers")->required();
  return verb;
}

void add_verify_flags(CLI::App& verb, JobsFlags& flags) {
  VerifyOptions& options = flags.verified;
  verb.add_option("QUESTIONS", options.questions, "Those of the run, unless they have moved");
  verb.add_option("--sample", flags.sample, "Share of the answers to ask for again (1%)");
  verb.add_option("--seed", options.seed, "Another number takes others");
  add_asking_flags(verb, options.proxy, options.defaults, options.limits);
}

}  // namespace

Command add_jobs(CLI::App& app, CommandLine& arguments) {
  CLI::App* command = app.add_subcommand("jobs", "Look at runs and their ledgers, and tidy them");
  const auto flags = std::make_shared<JobsFlags>();
  CLI::App* listed = command->add_subcommand("list", "The jobs in a folder");
  listed->add_option("FOLDER", flags->folder, "This one, if none is named");
  CLI::App* shown = add_verb(*command, *flags, "show", "What has become of a job");
  CLI::App* verified = add_verb(*command, *flags, "verify",
                                "Ask a sample again, and count the answers that are another now");
  add_verify_flags(*verified, *flags);
  CLI::App* exported =
      add_verb(*command, *flags, "export", "Write its answers in the order of the questions");
  exported->add_option("-o,--output", flags->exported.to, "The file to write")->required();
  exported->add_flag("--failed", flags->exported.failed, "What has failed, instead of the answers");
  exported->add_flag("--provenance", flags->exported.provenance,
                     "Each answer says where it is from, and when");
  CLI::App* deleted =
      add_verb(*command, *flags, "delete", "Remove its ledger, errors and log; the answers stay");
  CLI::App* pruned =
      add_verb(*command, *flags, "prune", "Forget answers to questions that have left the file");
  command->require_subcommand(1);
  command->footer(
      "A job is named by its file of answers.\n\n"
      "Examples:\n"
      "  batchproxy jobs list\n"
      "  batchproxy jobs show answers.jsonl\n"
      "  batchproxy jobs verify answers.jsonl --sample 1% --url http://gpu1:8000");
  return {command, [=, &arguments] {
            const std::string& answers = flags->exported.answers;
            if (listed->parsed()) return list(*flags);
            if (verified->parsed()) return verify(arguments, *flags);
            if (shown->parsed()) std::cout << show_job(answers);
            if (deleted->parsed()) delete_job(answers);
            if (exported->parsed()) {
              std::cout << with_commas(export_job(flags->exported)) << " lines\n";
            }
            if (pruned->parsed()) std::cout << with_commas(prune_job(answers)) << " forgotten\n";
            return 0;
          }};
}

}  // namespace batchproxy
