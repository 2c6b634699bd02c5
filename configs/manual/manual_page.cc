// configs/manual/manual_page.cc - see manual_page.h.
#include "configs/manual/manual_page.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace batchproxy {

namespace {

// Text that roff takes as it is.
std::string plain(std::string_view text) {
  std::string safe;
  bool at_line_start = true;
  for (const char c : text) {
    if (at_line_start && (c == '.' || c == '\'')) safe += "\\&";
    if (c == '\\') {
      safe += "\\e";
    } else if (c == '-') {
      safe += "\\-";
    } else {
      safe += c;
    }
    at_line_start = c == '\n';
  }
  return safe;
}

std::string bold(std::string_view text) {
  return fmt::format("\\fB{}\\fR", plain(text));
}

// Without the marks of code that Markdown has.
std::string without_marks(std::string text) {
  std::erase(text, '`');
  return text;
}

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string flag_text(const FlagWords& flag) {
  std::vector<std::string> names;
  for (const std::string& name : flag.names) names.push_back(bold(name));
  const std::string takes = flag.takes.empty() ? "" : fmt::format(" \\fI{}\\fR", plain(flag.takes));
  return fmt::format(".TP\n{}{}\n{}\n", fmt::join(names, ", "), takes, plain(flag.meaning));
}

std::string call_of(const std::string& path, const CommandWords& command) {
  std::string text = bold(path);
  for (const std::string& argument : command.arguments) {
    text += fmt::format(" \\fI{}\\fR", plain(argument));
  }
  return text;
}

std::string command_text(const std::string& path, const CommandWords& command) {
  std::string text = fmt::format(".SS {}\n{}.\n", call_of(path, command), plain(command.meaning));
  for (const FlagWords& flag : command.flags) text += flag_text(flag);
  if (!command.examples.empty()) {
    text += fmt::format(".PP\n.EX\n{}\n.EE\n", plain(command.examples));
  }
  for (const CommandWords& next : command.commands) {
    text += command_text(path + ' ' + next.name, next);
  }
  return text;
}

// What whatis(1) shows: one line, without a stop.
std::string name_line(std::string_view meaning) {
  while (meaning.ends_with('.')) meaning.remove_suffix(1);
  return plain(meaning);
}

// Each on a line of its own.
std::string lines(std::string_view text) {
  std::string broken;
  for (const char c : plain(text)) broken += c == '\n' ? "\n.br\n" : std::string(1, c);
  return broken;
}

std::string see_also(const std::vector<std::string>& pages) {
  std::string text = ".SH SEE ALSO\n";
  for (const std::string& page : pages) {
    const std::size_t section = page.find('(');
    text += fmt::format(".BR {} {}{}\n", plain(page.substr(0, section)), page.substr(section),
                        &page == &pages.back() ? "" : " ,");
  }
  return text;
}

std::string head(std::string_view title, int section, std::string_view version) {
  // Flags do not break, so that few words stand on a line: blanks between them are left as they
  // are.
  return fmt::format(".TH {} {} \"\" \"batchproxy {}\"\n.ad l\n", title, section, plain(version));
}

std::string key_text(const KeyText& key) {
  std::string text = fmt::format(".TP\n{} ({})\n{}", bold(key.name), plain(without_marks(key.type)),
                                 plain(without_marks(key.meaning)));
  const auto add = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format("\n{}: {}.", name, plain(value));
  };
  add("Default", key.value);
  add("Limits", key.words.empty() ? key.range : key.words);
  add("Flag", key.flag);
  add("Variable", key.variable);
  add("Takes effect on reload", key.reload);
  return text + '\n';
}

}  // namespace

std::string program_page(const CommandWords& program, const PageWords& words) {
  std::string text = head(upper(program.name), 1, words.version);
  text += fmt::format(".SH NAME\n{} \\- {}\n", plain(program.name), name_line(program.meaning));
  text += fmt::format(".SH SYNOPSIS\n{} [\\fIflags\\fR]\n.br\n{} \\fIcommand\\fR [\\fIflags\\fR]\n",
                      bold(program.name), bold(program.name));
  text += fmt::format(".SH FLAGS\n{}\n", plain(words.flags_note));
  for (const FlagWords& flag : program.flags) text += flag_text(flag);
  text += ".SH COMMANDS\n";
  for (const CommandWords& command : program.commands) {
    text += command_text(program.name + ' ' + command.name, command);
  }
  text += fmt::format(".SH EXIT STATUS\n{}\n", lines(words.codes));
  if (!program.examples.empty()) {
    text += fmt::format(".SH EXAMPLES\n.EX\n{}\n.EE\n", plain(program.examples));
  }
  return text + see_also(words.see_also);
}

std::string keys_page(const std::vector<KeyTable>& tables, std::string_view version) {
  std::string text = head("BATCHPROXY.YAML", 5, version);
  text +=
      ".SH NAME\nbatchproxy.yaml \\- the configuration of batchproxy\n"
      ".SH DESCRIPTION\nThe file of the workers, with a section\n.B batchproxy\nfor what is "
      "ours. Each key may stand there as below.\n";
  for (const KeyTable& table : tables) {
    text += fmt::format(".SH {}\n", plain(upper(table.title)));
    for (const KeyText& key : table.keys) text += key_text(key);
  }
  return text + see_also({"batchproxy(1)"});
}

}  // namespace batchproxy
