// proxy/commands/main.cc - the program `batchproxy`: its command line, and nothing else.
//
//   batchproxy [--config FILE] [flags]     serve
//   batchproxy serve MODEL [vLLM's flags]  start engines for a model and serve
//   batchproxy launch MODEL [N [MEM]]      the same with N GPUs and MEM of their memory
//   batchproxy run QUESTIONS -o ANSWERS    a file of questions in, a file of answers out
//   batchproxy jobs VERB [ANSWERS]         what has become of runs: list, show, verify, export
//   batchproxy gpus [--watch]              the GPUs of this machine
//   batchproxy doctor [--config FILE]      what would keep engines from starting here
//   batchproxy check [--config] FILE       look at a configuration
//   batchproxy worker-config FILE          the file that the workers should use
//   batchproxy engines [VERB [ENGINE]]    what engines do; pause, resume, stop, start, restart
//   batchproxy status [--json]             what a running batchproxy does now
//   batchproxy top                         the same, live, with keys for orders
//   batchproxy stop [--config FILE]        end engines that were kept
//   batchproxy keys                        every key of the configuration
//   batchproxy plan [MODEL]                how an engine would share out its GPUs' memory
//   batchproxy diagnose LOG                why an engine failed
//   batchproxy completion SHELL            a script by which the shell completes words
//   batchproxy manual [1|5]                a manual page
//   batchproxy sim-engine MODEL [flags]    a simulated vLLM server
//   batchproxy engine-agent ...            runs an engine on another node; started by batchproxy
//
// Exit codes: 0 fine, 1 run-time failure, 2 usage or configuration, 4 no engine has started,
// 5 some questions of a run have failed or flipped, 130 a run was stopped.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <boost/system/system_error.hpp>

#include "backends/sim/sim_engine.h"
#include "configs/manual/short_help.h"
#include "configs/sources/overrides.h"
#include "configs/text/build_name.h"
#include "configs/text/nearest_name.h"
#include "configs/text/printable.h"
#include "configs/vllm/argument_names.h"
#include "configs/yaml/values.h"
#include "launcher/agent/agent.h"
#include "launcher/process/group_guard.h"
#include "launcher/process/shim.h"
#include "proxy/commands/commands.h"

namespace batchproxy {
namespace {

// Each adds itself to the command line, and is described by its file.
constexpr AddCommand kCommands[] = {
    add_serve_model,   add_launch, add_run,      add_jobs,       add_plan,   add_check,
    add_worker_config, add_keys,   add_engines,  add_status,     add_top,    add_stop,
    add_gpus,          add_doctor, add_diagnose, add_completion, add_manual,
};

// Says what of the command line is not known, and what may have been meant; also what is wrong with
// the flags that are.
int refuse_unknown(const CLI::App& app, const std::vector<Flag>& given) {
  std::vector<std::string> names;
  const auto add_names = [&names](const CLI::App& of) {
    for (const CLI::Option* option : of.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    for (const CLI::App* command : of.get_subcommands({})) names.push_back(command->get_name());
  };
  add_names(app);
  for (const CLI::App* command : app.get_subcommands()) add_names(*command);
  const std::vector<std::string> unknown = app.remaining(true);
  const auto hint_for = [&names](const std::string& word) {
    return suggestion(word.substr(0, word.find('=')), {names.begin(), names.end()});
  };
  const auto is_flag = [](const std::string& word) { return word.starts_with('-'); };
  // What is nearly right, and flags: one that nobody knows leaves its value over, too.
  std::vector<std::string> told;
  std::ranges::copy_if(unknown, std::back_inserter(told), [&](const std::string& word) {
    return is_flag(word) || !hint_for(word).empty();
  });
  if (told.empty()) told.push_back(unknown.front());
  for (const std::string& word : told) {
    const std::string name = word.substr(0, word.find('='));
    std::string hint = hint_for(word);
    if (name.ends_with(".yaml") || name.ends_with(".yml")) {
      hint = "; to serve with it: --config FILE";
    }
    std::cerr << "error: " << (is_flag(word) ? "unknown flag '" : "unexpected argument '")
              << printable(name) << "'" << hint << '\n';
  }
  Options ignored;
  Findings findings;
  apply_flags(given, ignored, findings);
  print(std::move(findings).take());
  std::cerr << "Run with --help for more information.\n";
  return kUsage;
}

// Behind `serve`, takes those words out that are vLLM's: a flag that we do not have, and its
// values. One that is nearly ours is not vLLM's, unless vLLM has it.
std::vector<std::string> take_engine_words(const CLI::App& app, std::vector<std::string>& words) {
  if (words.empty() || words.front() != "serve") return {};
  std::vector<std::string> ours;
  for (const CLI::App* of : {&app, static_cast<const CLI::App*>(app.get_subcommand("serve"))}) {
    for (const CLI::Option* option : of->get_options()) {
      for (const std::string& name : option->get_lnames()) ours.push_back("--" + name);
      for (const std::string& name : option->get_snames()) ours.push_back("-" + name);
    }
  }
  std::vector<std::string> engines;
  std::vector<std::string> left;
  bool is_theirs = false;
  for (std::string& word : words) {
    if (word.starts_with('-') && word.size() > 1) {
      const std::string name = word.substr(0, word.find('='));
      const bool is_ours = std::ranges::find(ours, name) != ours.end();
      is_theirs = !is_ours &&
                  (is_known_argument(name) || suggestion(name, {ours.begin(), ours.end()}).empty());
    }
    (is_theirs ? engines : left).push_back(std::move(word));
  }
  words = std::move(left);
  return engines;
}

// The words in CLI11's order, the last first. A flag that may stand alone gets the value that it
// has then: CLI11 would give it the next word.
std::vector<std::string> words_for_cli(const std::vector<std::string>& given) {
  const std::vector<KeyFlag> flags = key_flags();
  const auto may_stand_alone = [&flags](const std::string& word) {
    const auto flag = std::ranges::find(flags, word, &KeyFlag::name);
    return flag != flags.end() && flag->takes == kOptionalBool;
  };
  std::vector<std::string> words;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const bool has_value = i + 1 < given.size() && parse_bool(given[i + 1]).has_value();
    words.push_back(given[i]);
    if (!has_value && may_stand_alone(words.back())) words.back() += "=true";
  }
  std::ranges::reverse(words);
  return words;
}

int run(int argc, char** argv) {
  // These have command lines of their own.
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "sim-engine") return sim::run_sim_engine(argc - 1, argv + 1);
  if (first == "engine-shim") return run_shim(argc - 1, argv + 1);
  if (first == "engine-agent") return run_agent(argc - 1, argv + 1);
  if (first == "group-guard") return run_group_guard(argc - 1, argv + 1);

  CommandLine arguments;
  CLI::App app("Batching proxy between scoring workers and vLLM servers.", "batchproxy");
  app.set_version_flag("--version", "batchproxy " + build_name());
  app.footer(
      "Examples:\n"
      "  batchproxy --config multi_gpu_batch_config.yaml    start its engines and serve\n"
      "  batchproxy --backend http://gpu1:8000              serve an engine that runs\n"
      "  batchproxy serve --sim 4                           try it without a GPU\n"
      "`batchproxy COMMAND --help` tells of a command, `batchproxy --help-all` every flag.");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return std::string("error: ") + error.what() + "\nRun with --help for more information.\n";
  });
  const Command serve = add_serve(app, arguments);
  app.fallthrough();
  app.require_subcommand(0, 1);  // words behind one that are named like another are its own
  std::vector<Command> commands;
  for (const AddCommand add : kCommands) commands.push_back(add(app, arguments));
  auto* sim_command = app.add_subcommand(
      "sim-engine", "A simulated vLLM server; `batchproxy sim-engine --help` tells its flags");
  sim_command->prefix_command();  // what follows is its own
  // Of the program alone: subcommands that were added before have theirs.
  app.set_help_all_flag("--help-all", "Print all flags, and those of each command, and exit");
  app.formatter(std::make_shared<ShortHelp>());

  std::vector<std::string> words(argv + 1, argv + argc);
  arguments.engine_words = take_engine_words(app, words);
  try {
    app.parse(words_for_cli(words));
  } catch (const CLI::ExtrasError&) {
    return refuse_unknown(app, arguments.keys.given);
  } catch (const CLI::RequiredError& error) {
    // What is missing may be there, misspelt.
    if (!app.remaining(true).empty()) return refuse_unknown(app, arguments.keys.given);
    app.exit(error);
    return kUsage;
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kUsage;
  }
  if (*sim_command) {
    std::cerr << "error: sim-engine has flags of its own, and stands first: batchproxy sim-engine "
                 "MODEL [flags]\n";
    return kUsage;
  }
  const auto chosen =
      std::ranges::find_if(commands, [](const Command& command) { return command.app->parsed(); });
  return chosen == commands.end() || !chosen->run ? serve.run() : chosen->run();
}

}  // namespace
}  // namespace batchproxy

int main(int argc, char** argv) {
  try {
    return batchproxy::run(argc, argv);
  } catch (const boost::system::system_error& error) {
    const bool scarce = error.code() == boost::system::errc::too_many_files_open;
    std::fprintf(stderr, "error: %s%s\n", error.what(),
                 scarce ? ". Raise the limit: ulimit -n" : "");
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
