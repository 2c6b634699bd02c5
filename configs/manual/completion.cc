// configs/manual/completion.cc - see completion.h.
#include "configs/manual/completion.h"

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace batchproxy {

bool is_path(std::string_view takes) {
  static constexpr std::array<std::string_view, 9> kPaths = {
      "FILE", "LOG", "ANSWERS", "QUESTIONS", "PATH", "FOLDER", "FIRST", "SECOND", "RESULTS"};
  return std::ranges::any_of(kPaths, [takes](std::string_view path) { return takes == path; });
}

namespace {

// A command and the words that lead to it: "", "jobs", "jobs list".
struct Place {
  std::string path;
  const CommandWords* command;
};

std::vector<Place> places_of(const CommandWords& program) {
  std::vector<Place> places{{"", &program}};
  for (std::size_t i = 0; i < places.size(); ++i) {
    const Place at = places[i];
    for (const CommandWords& command : at.command->commands) {
      places.push_back({at.path.empty() ? command.name : at.path + ' ' + command.name, &command});
    }
  }
  return places;
}

bool takes_paths(const CommandWords& command) {
  return std::ranges::any_of(command.arguments, &is_path);
}

std::string joined(std::vector<std::string> names, std::string_view between) {
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return fmt::format("{}", fmt::join(names, between));
}

// Those of the program may stand behind a command, too.
std::string flags_of(const CommandWords& command, const CommandWords& program) {
  std::vector<std::string> names;
  for (const CommandWords* of : {&command, &program}) {
    for (const FlagWords& flag : of->flags) {
      names.insert(names.end(), flag.names.begin(), flag.names.end());
    }
  }
  return joined(std::move(names), " ");
}

std::string commands_of(const CommandWords& command) {
  std::vector<std::string> names;
  for (const CommandWords& next : command.commands) names.push_back(next.name);
  return joined(std::move(names), " ");
}

// Flags whose value is a path, and those that have another value, as patterns of a shell's case.
std::string flags_that_take(const std::vector<Place>& places,
                            const std::function<bool(const FlagWords&)>& wanted) {
  std::vector<std::string> names;
  for (const Place& place : places) {
    for (const FlagWords& flag : place.command->flags) {
      if (wanted(flag)) names.insert(names.end(), flag.names.begin(), flag.names.end());
    }
  }
  return joined(std::move(names), "|");
}

// zsh reads it too, by its own bashcompinit; a letter behind a colon would be a modifier there.
std::string bash_script(const CommandWords& program) {
  const std::vector<Place> places = places_of(program);
  std::string steps;
  std::string words;
  for (const Place& place : places) {
    if (!place.path.empty())
      steps += fmt::format("      '{}') at='{}' ;;\n", place.path, place.path);
    words += fmt::format("    '{}') commands='{}'; flags='{}'; paths={}; tells={} ;;\n", place.path,
                         commands_of(*place.command), flags_of(*place.command, program),
                         takes_paths(*place.command) ? 1 : 0, place.command->tells_words ? 1 : 0);
  }
  const auto is_file = [](const FlagWords& flag) { return is_path(flag.takes); };
  const auto is_value = [](const FlagWords& flag) {
    return !flag.takes.empty() && !is_path(flag.takes);
  };
  return fmt::format(R"(# Completes the command line of {0}, for bash.
_{0}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  local at='' next word commands flags paths tells
  COMPREPLY=()
  case $before in
    {1}) COMPREPLY=($(compgen -f -- "$current")); return ;;
    {2}) return ;;
  esac
  for word in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
    next="${{at:+$at }}$word"
    case $next in
{3}    esac
  done
  case $at in
{4}  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
  else
    [[ $tells == 0 ]] || commands=$("${{COMP_WORDS[@]:0:$((COMP_CWORD))}}" {5} 2>/dev/null)
    COMPREPLY=($(compgen -W "$commands" -- "$current"))
    [[ $paths == 0 ]] || COMPREPLY+=($(compgen -f -- "$current"))
  fi
}}
complete -o filenames -F _{0} {0}
)",
                     program.name, flags_that_take(places, is_file),
                     flags_that_take(places, is_value), steps, words, kTellWords);
}

// zsh runs the file when it first completes a word of the program: the last line is for that word.
std::string zsh_script(const CommandWords& program) {
  return fmt::format(
      "#compdef {0}\nautoload -U +X bashcompinit && bashcompinit\n{1}"
      "_bash_complete -o filenames -F _{0}\n",
      program.name, bash_script(program));
}

std::string fish_quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

std::string fish_flag(const CommandWords& program, const FlagWords& flag,
                      std::string_view condition) {
  std::string line = fmt::format("complete -c {}{}", program.name, condition);
  for (const std::string& name : flag.names) {
    const bool is_long = name.starts_with("--");
    line += fmt::format(" {} {}", is_long ? "-l" : "-s", name.substr(is_long ? 2 : 1));
  }
  if (!flag.takes.empty()) line += is_path(flag.takes) ? " -rF" : " -x";
  return line + fmt::format(" -d {}\n", fish_quoted(flag.meaning));
}

std::string fish_script(const CommandWords& program) {
  std::string script = fmt::format(
      "# Completes the command line of {0}, for fish.\ncomplete -c {0} -f\n", program.name);
  for (const FlagWords& flag : program.flags) script += fish_flag(program, flag, "");
  for (const Place& place : places_of(program)) {
    std::string seen;
    for (std::size_t from = 0; from < place.path.size();) {
      const std::size_t end = std::min(place.path.find(' ', from), place.path.size());
      seen +=
          fmt::format("__fish_seen_subcommand_from {}; and ", place.path.substr(from, end - from));
      from = end + 1;
    }
    for (const CommandWords& next : place.command->commands) {
      script += fmt::format("complete -c {} -n {} -a {} -d {}\n", program.name,
                            fish_quoted(fmt::format("{}not __fish_seen_subcommand_from {}", seen,
                                                    commands_of(*place.command))),
                            next.name, fish_quoted(next.meaning));
    }
    if (place.path.empty()) continue;
    const std::string condition =
        fmt::format(" -n {}", fish_quoted(seen.substr(0, seen.size() - std::size("; and ") + 1)));
    for (const FlagWords& flag : place.command->flags) {
      script += fish_flag(program, flag, condition);
    }
    if (takes_paths(*place.command)) {
      script += fmt::format("complete -c {}{} -F\n", program.name, condition);
    }
    if (place.command->tells_words) {
      script +=
          fmt::format("complete -c {0}{1} -a '({0} (commandline -opc)[2..-1] {2} 2>/dev/null)'\n",
                      program.name, condition, kTellWords);
    }
  }
  return script;
}

}  // namespace

std::optional<std::string> completion_script(const CommandWords& program, std::string_view shell) {
  if (shell == "bash") return bash_script(program);
  if (shell == "zsh") return zsh_script(program);
  if (shell == "fish") return fish_script(program);
  return std::nullopt;
}

}  // namespace batchproxy
