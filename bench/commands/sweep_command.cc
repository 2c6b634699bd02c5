// bench/commands/sweep_command.cc - see sweep_command.h.
#include "bench/commands/sweep_command.h"

#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bench/commands/exit_codes.h"
#include "bench/commands/files.h"
#include "bench/load/machine.h"
#include "bench/load/measure.h"
#include "bench/load/subject.h"
#include "bench/page/sweep_page.h"
#include "bench/sweep/sweep_log.h"
#include "configs/text/build_name.h"
#include "configs/text/printable.h"
#include "configs/text/trim.h"

namespace batchproxy::bench {

namespace {

const CLI::Range kPositive(1e-6, 1e9);
constexpr double kLongEnough = 2;  // seconds of a run

void add_axis_flags(CLI::App& sweep, SweepAxes& axes) {
  sweep.add_option("--workers", axes.workers, "So many at a time")
      ->check(CLI::Range(1, 100'000))
      ->delimiter(',')
      ->capture_default_str();
  sweep.add_option("--flush", axes.flush, "Policies")
      ->check(CLI::IsMember({"eager", "fixed"}))
      ->delimiter(',')
      ->capture_default_str();
  sweep.add_option("--merge", axes.merge, "Whether requests share calls")
      ->check(CLI::IsMember({"auto", "always", "off"}))
      ->delimiter(',')
      ->capture_default_str();
  sweep.add_option("--batch-size", axes.batch_sizes, "Where it matters: `fixed`, or merge: always")
      ->check(CLI::Range(1, 1024))
      ->delimiter(',')
      ->capture_default_str();
  sweep.add_option("--batch-timeout", axes.batch_timeouts, "In seconds; the same")
      ->check(CLI::Range(0.0, 3600.0))
      ->delimiter(',')
      ->capture_default_str();
}

// What is measured is written at once, so that nothing is lost.
class SweepFile {
 public:
  SweepFile(const std::string& file, SweepLog& log) : file_(file) {
    if (std::filesystem::exists(file)) {
      const SweepLog before = read_sweep(read_file(file), printable(file));
      if (before.bytes > 0 && before.subject != log.subject) {
        throw std::runtime_error(
            fmt::format("{} is a sweep of something else ({}): name another file with --out",
                        printable(file), printable(before.subject)));
      }
      log.points = before.points;
      log.bytes = before.bytes;
    }
    if (log.bytes == 0) {
      write_file(file, head_line(log));
    } else {
      std::filesystem::resize_file(file, log.bytes);  // without a line that was cut off
    }
    out_.open(file, std::ios::app);
  }

  void add(const SweepPoint& point) {
    out_ << to_line(point) << std::flush;
    if (!out_) throw std::runtime_error(fmt::format("{} cannot be written", printable(file_)));
  }

 private:
  const std::string file_;
  std::ofstream out_;
};

Task<void> order(LoadClient& client, BackendId admin, std::string path) {
  const PageReply reply = co_await client.post(admin, std::move(path));
  if (reply.status == 200) co_return;
  throw std::runtime_error(fmt::format("the proxy does not take the setting (status {}): {}",
                                       reply.status, printable(trim(reply.body, " \n"))));
}

// Puts the proxy's own configuration in force again, however the sweep ends.
class Restored {
 public:
  Restored(LoadClient& client, BackendId admin) : client_(client), admin_(admin) {}
  ~Restored() {
    try {
      client_.run(order(client_, admin_, "/admin/reload"));
    } catch (const std::exception& error) {
      std::cerr << "warning: the proxy keeps the last setting that was tried: " << error.what()
                << '\n';
    }
  }
  Restored(const Restored&) = delete;
  Restored& operator=(const Restored&) = delete;

 private:
  LoadClient& client_;
  const BackendId admin_;
};

// One thing left to measure.
struct Step {
  Setting setting;
  std::size_t repeat = 0;
};

// Repeat by repeat, so that whatever changes meanwhile changes all settings alike.
std::vector<Step> steps_of(const SweepCommand& command, const SweepLog& log) {
  std::vector<Step> steps;
  for (std::size_t repeat = 0; repeat < command.repeats; ++repeat) {
    for (const Setting& setting : settings_of(command.axes)) {
      if (!log.has(setting, repeat)) steps.push_back({setting, repeat});
    }
  }
  return steps;
}

MeasureOptions measure_options(const SweepCommand& command, const Step& step) {
  MeasureOptions options;
  options.load = command.load;
  options.load.workers = step.setting.workers;
  // No run profits from what the one before has left in the engines' caches.
  options.load.salt = fmt::format("Sweep, {}, {} workers, {}.", words_of(step.setting),
                                  step.setting.workers, step.repeat);
  options.warm_up = parse_cut(command.warm_up);
  options.cool_down = parse_cut(command.cool_down);
  options.shows_line = shows_line(command.ui);
  return options;
}

// Once.
void warn_if_short(const Measured& measured, bool& was_short) {
  if (was_short || measured.repeats.front().seconds >= kLongEnough) return;
  was_short = true;
  std::cerr << fmt::format(
      "warning: this run took {:.1f} s: chance decides such short ones; ask for more by --requests "
      "or --duration\n",
      measured.repeats.front().seconds);
}

std::string subject_words(const SweepCommand& command, const Subject& subject,
                          std::size_t questions) {
  return fmt::format("{}, {}, {} requests, {:g} s, shuffled by {}", subject.model,
                     words_of(command.workload, questions), command.load.requests,
                     command.load.duration, command.load.shuffle);
}

}  // namespace

CLI::App* add_sweep_command(CLI::App& app, SweepCommand& command) {
  auto* sweep = app.add_subcommand("sweep", "Try settings of a running proxy, and tell the best");
  add_target_flags(*sweep, command.target);
  add_workload_flags(*sweep, command.workload);
  add_axis_flags(*sweep, command.axes);
  sweep->get_option("--admin")->required();
  sweep
      ->add_option("--requests", command.load.requests,
                   "Of each run (default: the questions, once)")
      ->check(CLI::Range(1, 100'000'000));
  sweep->add_option("--duration", command.load.duration, "Seconds of each run")->check(kPositive);
  sweep->add_option("--shuffle", command.load.shuffle, "Mix the order within windows of so many");
  sweep->add_option("--repeats", command.repeats, "Runs of each setting")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  sweep->add_option("--warm-up", command.warm_up, "Does not count: 5s, or 10% of each run")
      ->capture_default_str();
  sweep->add_option("--cool-down", command.cool_down, "The same at its end")->capture_default_str();
  sweep
      ->add_option("--out", command.out,
                   "What was measured; a sweep that was stopped goes on there")
      ->type_name("FILE")
      ->capture_default_str();
  sweep->add_option("--html", command.html, "Write a report with heat maps here")
      ->type_name("FILE");
  sweep
      ->add_option("--ui", command.ui,
                   "The line that shows how it goes: auto is on a terminal only")
      ->check(CLI::IsMember({"auto", "line", "none"}))
      ->capture_default_str();
  sweep->footer(
      "Example:\n"
      "  batchproxy-bench sweep --url http://127.0.0.1:8000 --admin http://127.0.0.1:8001 \\\n"
      "      --workers 8,32,128 --flush eager,fixed --html sweep.html\n"
      "Each setting is tried by POST /admin/reload?KEY=VALUE, and the proxy's own configuration "
      "is\n"
      "put in force again at the end. A setting that failed more than 1 % of its requests is "
      "never\n"
      "called the best.");
  return sweep;
}

int run_sweep_command(SweepCommand& command) {
  try {
    check_writable(command.out);
    check_writable(command.html);
  } catch (const std::runtime_error& error) {
    std::cerr << "error: " << error.what() << '\n';
    return kUsage;
  }
  std::vector<ReadyQuestion> questions = load_questions(command.workload, false);
  raise_descriptor_limit();
  LoadClient client(duration_of(command.target.timeout));
  Subject subject = find_subject(client, command.target);
  give_model(subject.model, questions);

  SweepLog log;
  log.subject = subject_words(command, subject, questions.size());
  log.facts = subject.facts;
  log.facts.emplace_back("questions", words_of(command.workload, questions.size()));
  log.facts.emplace_back("repeats", std::to_string(command.repeats));
  log.facts.emplace_back("date", utc_stamp() + " UTC");
  log.facts.emplace_back("machine", machine_words());
  log.facts.emplace_back("program", "batchproxy-bench " + build_name());
  SweepFile file(command.out, log);

  const std::vector<Step> steps = steps_of(command, log);
  bool stopped = false;
  bool was_short = false;
  if (!steps.empty()) {
    const Restored restored(client, *subject.admin);
    for (std::size_t i = 0; i < steps.size() && !stopped; ++i) {
      const Step& step = steps[i];
      std::cerr << fmt::format("{} of {}: {}, {} workers\n", i + 1, steps.size(),
                               words_of(step.setting), step.setting.workers);
      client.run(order(client, *subject.admin, "/admin/reload?" + query_of(step.setting)));
      const Measured measured = measure(client, subject, questions, measure_options(command, step));
      stopped = measured.stopped;
      if (stopped) break;
      warn_if_short(measured, was_short);
      if (!measured.ended_early.empty()) throw std::runtime_error(measured.ended_early);
      Record record;
      record.repeats = measured.repeats;
      log.points.push_back(
          point_of(step.setting, step.repeat, summarise(record), counts_of(record)));
      file.add(log.points.back());
    }
  }
  std::cout << to_text(log) << std::flush;
  if (!command.html.empty()) write_file(command.html, sweep_page(log));
  if (!stopped) return kAllWell;
  std::cerr << "stopped: the same command goes on with " << printable(command.out) << '\n';
  return kInterrupted;
}

}  // namespace batchproxy::bench
