// proxy/commands/top.cc - batchproxy top: the screen of a running batchproxy, anew each second.
//
// screen.h says what is shown and top_core.h what keys do; here are the terminal and the clock.
#include <algorithm>
#include <chrono>
#include <clocale>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#define NCURSES_NOMACROS  // erase, timeout and the like are words of others, too
#include <curses.h>
#include <unistd.h>

#include "proxy/commands/commands.h"
#include "proxy/top/top_core.h"

namespace batchproxy {

namespace {

using std::chrono::steady_clock;

constexpr auto kRefresh = std::chrono::seconds(1);
constexpr auto kPatience = std::chrono::seconds(3);  // keys wait for so long at most
constexpr int kKeyWait = 100;                        // ms

// The terminal belongs to curses as long as this lives.
class Terminal {
 public:
  Terminal() {
    std::setlocale(LC_ALL, "");
    ::initscr();
    ::cbreak();
    ::noecho();
    ::keypad(stdscr, TRUE);
    ::curs_set(0);
    ::set_escdelay(25);
    ::timeout(kKeyWait);
    const char* no_color = std::getenv("NO_COLOR");
    has_colors_ = (no_color == nullptr || *no_color == '\0') && ::has_colors();
    if (!has_colors_) return;
    ::start_color();
    ::use_default_colors();
    ::init_pair(kGreen, COLOR_GREEN, -1);
    ::init_pair(kYellow, COLOR_YELLOW, -1);
    ::init_pair(kRed, COLOR_RED, -1);
  }
  ~Terminal() { ::endwin(); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // As draw() wants it. The last column stays free: a character in it may scroll the screen.
  ScreenSize size() const {
    return {static_cast<std::size_t>(std::max(COLS - 1, 1)),
            static_cast<std::size_t>(std::max(LINES, 1))};
  }

  void show(const std::vector<ScreenLine>& lines) {
    ::erase();
    for (std::size_t i = 0; i < lines.size() && i < static_cast<std::size_t>(LINES); ++i) {
      const Look look = look_of(lines[i].style);
      ::attr_set(look.attributes, has_colors_ ? look.color : short{0}, nullptr);
      ::mvaddstr(static_cast<int>(i), 0, lines[i].text.c_str());
    }
    ::attr_set(A_NORMAL, 0, nullptr);
    ::refresh();
  }

  // Nothing when none was pressed in time.
  static std::optional<int> key() {
    const int key = ::getch();
    switch (key) {
      case ERR:
        return std::nullopt;
      case KEY_UP:
        return TopCore::kUp;
      case KEY_DOWN:
        return TopCore::kDown;
      case KEY_ENTER:
        return TopCore::kEnter;
      case KEY_BACKSPACE:
        return TopCore::kBackspace;
      default:
        return key;
    }
  }

 private:
  static constexpr short kGreen = 1, kYellow = 2, kRed = 3;

  struct Look {
    attr_t attributes = A_NORMAL;
    short color = 0;  // none
  };

  // What is bad stands out without colours, too.
  Look look_of(Style style) const {
    switch (style) {
      case Style::kPlain:
        break;
      case Style::kTitle:
        return {A_BOLD};
      case Style::kHeading:
        return {A_UNDERLINE};
      case Style::kGood:
        return {A_NORMAL, kGreen};
      case Style::kWarning:
        return {has_colors_ ? A_NORMAL : A_BOLD, kYellow};
      case Style::kBad:
        return {A_BOLD, kRed};
      case Style::kDim:
        return {A_DIM};
      case Style::kChosen:
        return {A_REVERSE};
    }
    return {};
  }

  bool has_colors_ = false;
};

class Top {
 public:
  explicit Top(const AdminClient& proxy) : proxy_(proxy) {}

  // Nothing seen yet: why.
  std::optional<std::string> begin() {
    const std::string problem = look();
    return problem.empty() ? std::nullopt : std::optional(problem);
  }

  void run() {
    Terminal terminal;
    while (true) {
      terminal.show(draw(now_, core_.view(), terminal.size()));
      if (const auto key = Terminal::key()) {
        const TopCore::Action action = core_.on_key(*key, now_);
        if (action.quit) return;
        if (action.order) order(*action.order);
      }
      if (steady_clock::now() < next_look_) continue;
      if (const std::string problem = look(); !problem.empty()) core_.say(problem);
    }
  }

 private:
  // Returns why there is nothing new to see.
  std::string look() {
    next_look_ = steady_clock::now() + kRefresh;
    const AdminClient::Answer answer = proxy_.ask("GET", "/status", kPatience);
    if (!answer.is_good()) return answer.body.substr(0, answer.body.find('\n'));
    auto now = read_status(answer.body);
    if (!now) return "what answers at " + proxy_.address() + " is no batchproxy";
    now_ = std::move(*now);
    return {};
  }

  void order(const EngineOrder& order) {
    const std::string path =
        "/admin/engines/" + order.engine + "/" + std::string(to_string(order.verb));
    const std::string said = proxy_.ask("POST", path, kPatience).body;
    core_.say(said.substr(0, said.find('\n')));
    next_look_ = {};
  }

  const AdminClient& proxy_;
  TopCore core_;
  Snapshot now_;
  steady_clock::time_point next_look_{};
};

int top(const CommandLine& arguments) {
  const auto proxy = admin_client(arguments);
  if (!proxy) return kUsage;
  const char* term = std::getenv("TERM");
  const bool is_dumb = term == nullptr || std::string_view(term) == "dumb";
  if (is_dumb || ::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1) {
    std::cerr << "error: top needs a terminal; `batchproxy status` shows the same once\n";
    return kUsage;
  }
  Top screen(*proxy);
  if (const auto problem = screen.begin()) {
    std::cerr << "error: " << *problem << '\n';
    return 1;
  }
  screen.run();
  return 0;
}

}  // namespace

Command add_top(CLI::App& app, CommandLine& arguments) {
  CLI::App* command =
      app.add_subcommand("top", "The engines of a running batchproxy, live, and orders for them");
  command->footer(
      "Keys: arrows choose an engine, enter shows it alone, d drains or resumes it, r restarts "
      "it,\n"
      "s sorts, / filters, q quits.\n"
      "Example:\n"
      "  batchproxy top --admin 127.0.0.1:8001");
  return {command, [&arguments] { return top(arguments); }};
}

}  // namespace batchproxy
