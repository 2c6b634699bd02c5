// configs/manual/manual_commands.cc - see manual_commands.h.
#include "configs/manual/manual_commands.h"

#include <iostream>
#include <memory>
#include <set>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "configs/manual/completion.h"

namespace batchproxy {

namespace {

constexpr int kWrongWord = 2;

FlagWords words_of(const CLI::Option& option) {
  FlagWords flag;
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  if (option.get_items_expected_max() > 0) flag.takes = option.get_type_name();
  flag.meaning = option.get_description();
  return flag;
}

}  // namespace

CommandWords words_of(const CLI::App& app) {
  CommandWords words{
      .name = app.get_name(), .meaning = app.get_description(), .examples = app.get_footer()};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      words.arguments.push_back(option->get_name());
    } else if (option->check_name(kTellWords)) {
      words.tells_words = true;
    } else {
      words.flags.push_back(words_of(*option));
    }
  }
  for (const CLI::App* next : app.get_subcommands({})) words.commands.push_back(words_of(*next));
  return words;
}

WordCommand add_completion_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("completion", "Print a shell's script that completes words");
  const auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  command->footer(
      fmt::format("Examples:\n"
                  "  {0} completion bash > ~/.local/share/bash-completion/completions/{0}\n"
                  "  {0} completion zsh > ~/.zfunc/_{0}\n"
                  "  {0} completion fish > ~/.config/fish/completions/{0}.fish",
                  app.get_name()));
  return {command, [&app, shell] {
            const auto script = completion_script(words_of(app), *shell);
            if (!script) {
              std::cerr << "error: no completion for '" << *shell << "': bash, zsh or fish\n";
              return kWrongWord;
            }
            std::cout << *script;
            return 0;
          }};
}

WordCommand add_manual_command(CLI::App& app, std::map<int, ManualSection> sections) {
  CLI::App* command = app.add_subcommand("manual", "Print a manual page, for man -l -");
  const int first = sections.begin()->first;
  const auto section = std::make_shared<int>(first);
  std::set<int> numbers;
  std::string help;
  for (const auto& [number, each] : sections) {
    numbers.insert(number);
    help += fmt::format("{}{}: {}", help.empty() ? "" : "; ", number, each.about);
  }
  command->add_option("SECTION", *section, help)->check(CLI::IsMember(numbers));
  command->footer(fmt::format("Example:\n  {} manual {} | man -l -", app.get_name(), first));
  return {command, [section, sections = std::move(sections)] {
            std::cout << sections.at(*section).page();
            return 0;
          }};
}

}  // namespace batchproxy
