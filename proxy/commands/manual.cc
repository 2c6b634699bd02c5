// proxy/commands/manual.cc - batchproxy completion, batchproxy manual: what a shell and man(1) want
// to know of this program, made of its own command line.
#include <iostream>
#include <memory>
#include <string>

#include "configs/key_tables.h"
#include "proxy/commands/commands.h"
#include "proxy/manual/completion.h"
#include "proxy/manual/manual_page.h"

namespace batchproxy {

namespace {

constexpr const char* kExitCodes =
    "0: fine.\n1: a failure at run time.\n2: usage or configuration.\n4: no engine has started.\n"
    "5: some questions of a run have failed or flipped.\n130: a run was stopped.";

FlagWords words_of(const CLI::Option& option) {
  FlagWords flag;
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  if (option.get_items_expected_max() > 0) flag.takes = option.get_type_name();
  flag.meaning = option.get_description();
  return flag;
}

CommandWords words_of(const CLI::App& app) {
  CommandWords words{
      .name = app.get_name(), .meaning = app.get_description(), .examples = app.get_footer()};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      words.arguments.push_back(option->get_name());
    } else {
      words.flags.push_back(words_of(*option));
    }
  }
  for (const CLI::App* next : app.get_subcommands({})) words.commands.push_back(words_of(*next));
  return words;
}

}  // namespace

Command add_completion(CLI::App& app, CommandLine&) {
  CLI::App* command =
      app.add_subcommand("completion", "Print a shell's script that completes words");
  const auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  command->footer(
      "Examples:\n  batchproxy completion bash > ~/.local/share/bash-completion/completions/"
      "batchproxy\n  batchproxy completion fish > ~/.config/fish/completions/batchproxy.fish");
  return {command, [&app, shell] {
            const auto script = completion_script(words_of(app), *shell);
            if (!script) {
              std::cerr << "error: no completion for '" << *shell << "': bash, zsh or fish\n";
              return kUsage;
            }
            std::cout << *script;
            return 0;
          }};
}

Command add_manual(CLI::App& app, CommandLine&) {
  CLI::App* command = app.add_subcommand("manual", "Print a manual page, for man -l -");
  const auto section = std::make_shared<int>(1);
  command->add_option("SECTION", *section, "1: the program; 5: its configuration")
      ->check(CLI::IsMember({1, 5}));
  command->footer("Example:\n  batchproxy manual 5 | man -l -");
  return {command, [&app, section] {
            std::cout << (*section == 1
                              ? program_page(words_of(app), BATCHPROXY_VERSION, kExitCodes)
                              : keys_page(key_tables(), BATCHPROXY_VERSION));
            return 0;
          }};
}

}  // namespace batchproxy
