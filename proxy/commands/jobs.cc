// proxy/commands/jobs.cc - batchproxy jobs: what has become of runs, and their ledgers.
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "configs/text/number.h"
#include "configs/text/printable.h"
#include "launcher/memory/learned/state_file.h"
#include "proxy/commands/asking.h"
#include "proxy/commands/commands.h"
#include "proxy/files/prune.h"
#include "proxy/files/wall_clock.h"
#include "proxy/jobs/run/manage.h"
#include "proxy/jobs/run/progress.h"
#include "proxy/jobs/run/verify.h"

namespace batchproxy {

namespace {

// All that the words behind `jobs` say.
struct JobsFlags {
  std::string folder = ".";
  std::string sample = "1%";
  std::string older_than{};
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

std::string words_of(const VerifyResult& result) {
  const std::int64_t answered = result.same + result.other;
  std::string text =
      fmt::format("{} asked again: {} say the same, {} say something else",
                  with_commas(result.asked), with_commas(result.same), with_commas(result.other));
  if (answered > 0) {
    text += fmt::format(" ({:.2f} %)",
                        100.0 * static_cast<double>(result.other) / static_cast<double>(answered));
  }
  if (result.unanswered > 0) text += fmt::format(", {} failed", with_commas(result.unanswered));
  text += '\n';
  if (result.unknown > 0) {
    text +=
        fmt::format("{} lines are not the questions of this job: give the flags that its run had\n",
                    with_commas(result.unknown));
  } else if (result.asked == 0) {
    text += "no answer is in this sample: take a larger --sample\n";
  }
  return text;
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
  std::cout << words_of(result);
  return exit_code_of(result);
}

// "30d" or "12h", in milliseconds.
std::optional<std::int64_t> age_in(std::string text) {
  const std::int64_t hours = text.ends_with('d') ? 24 : text.ends_with('h') ? 1 : 0;
  if (hours == 0) return std::nullopt;
  text.pop_back();
  const auto number = number_in<std::int64_t>(text);
  if (!number || *number < 0 || *number > 100'000) return std::nullopt;
  return *number * hours * 3'600'000;
}

// What a serving batchproxy keeps, by its age.
int prune_served(const CommandLine& arguments, const std::string& older_than) {
  const auto age = age_in(older_than);
  if (!age) {
    std::cerr << "error: --older-than is a number of days or hours such as 30d or 12h\n";
    return kUsage;
  }
  const auto options = options_for_operator(arguments);
  if (!options) return kUsage;
  const std::string& told = *options->proxy.jobs.directory;
  const std::string folder = told.empty() ? state_file("jobs") : told;
  const Pruned pruned = prune_folder(folder, (seconds_now() + 1) * 1000 - *age);
  std::cout << fmt::format("{}: {} ledgers of bulk jobs and {} recorded answers forgotten\n",
                           printable(folder), with_commas(pruned.ledgers),
                           with_commas(pruned.answers));
  for (const std::string& why : pruned.left_alone) std::cerr << "left alone: " << why << '\n';
  return pruned.left_alone.empty() ? 0 : 1;
}

int prune(const CommandLine& arguments, const JobsFlags& flags) {
  const std::string& answers = flags.exported.answers;
  if (answers.empty() == flags.older_than.empty()) {
    std::cerr << "error: jobs prune takes a file of ANSWERS, or --older-than AGE for what a "
                 "batchproxy keeps of bulk and recorded jobs\n";
    return kUsage;
  }
  if (answers.empty()) return prune_served(arguments, flags.older_than);
  std::cout << with_commas(prune_job(answers)) << " forgotten\n";
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
  exported->add_option("-o,--output", flags->exported.to, "The file to write")
      ->type_name("FILE")
      ->required();
  exported->add_flag("--failed", flags->exported.failed, "What has failed, instead of the answers");
  exported->add_flag("--provenance", flags->exported.provenance,
                     "Each answer says where it is from, and when");
  CLI::App* deleted =
      add_verb(*command, *flags, "delete", "Remove its ledger, errors and log; the answers stay");
  CLI::App* pruned = command->add_subcommand(
      "prune", "Forget answers to questions that have left the file, or what is old");
  pruned->add_option("ANSWERS", flags->exported.answers, "The job's file of answers");
  pruned->add_option("--older-than", flags->older_than,
                     "Instead: what a batchproxy keeps of bulk and recorded jobs, such as 30d");
  command->require_subcommand(1);
  command->footer(
      "A job is named by its file of answers.\n\n"
      "Examples:\n"
      "  batchproxy jobs list\n"
      "  batchproxy jobs show answers.jsonl\n"
      "  batchproxy jobs verify answers.jsonl --sample 1% --url http://gpu1:8000\n"
      "  batchproxy jobs prune --older-than 30d --config my.yaml");
  return {command, [=, &arguments] {
            const std::string& answers = flags->exported.answers;
            if (listed->parsed()) return list(*flags);
            if (verified->parsed()) return verify(arguments, *flags);
            if (pruned->parsed()) return prune(arguments, *flags);
            if (shown->parsed()) std::cout << show_job(answers);
            if (deleted->parsed()) delete_job(answers);
            if (exported->parsed()) {
              std::cerr << with_commas(export_job(flags->exported)) << " lines\n";
            }
            return 0;
          }};
}

}  // namespace batchproxy
