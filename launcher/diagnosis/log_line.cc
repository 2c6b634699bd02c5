// launcher/diagnosis/log_line.cc - the prefixes of several vLLM versions and of what surrounds
// them.
#include "launcher/diagnosis/log_line.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "configs/text/trim.h"

namespace batchproxy {
namespace {

bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
}

// Takes `text` away if its first `size` bytes, and one blank behind them, do not count.
bool skip(std::string_view& text, std::size_t size) {
  if (size == 0 || size > text.size()) return false;
  text.remove_prefix(size);
  if (text.starts_with(' ')) text.remove_prefix(1);
  return true;
}

// "(EngineCore_DP0 pid=7)", "(VllmWorker rank=3 pid=9)", "(RayWorker pid=5, ip=10.0.0.1)".
bool skip_process(std::string_view& text) {
  if (!text.starts_with('(')) return false;
  const std::size_t end = text.substr(0, 120).find(')');
  if (end == std::string_view::npos) return false;
  const bool is_one = text.substr(0, end).find("pid=") != std::string_view::npos;
  return is_one && skip(text, end + 1);
}

// "[rank3]:", of torch.
bool skip_rank(std::string_view& text) {
  if (!text.starts_with("[rank")) return false;
  const std::size_t end = text.find("]:");
  return end != std::string_view::npos && end < 12 && skip(text, end + 2);
}

// "08-12 13:30:42", "2026-08-12T13:30:42.123Z", "2026-08-12 13:30:42,123".
bool skip_time(std::string_view& text) {
  std::size_t end = 0;
  while (end < text.size() && (is_digit(text[end]) || text[end] == '-')) ++end;
  if (end < 5 || end > 10 || text.substr(0, end).find('-') == std::string_view::npos) return false;
  if (end == text.size() || (text[end] != ' ' && text[end] != 'T')) return false;
  std::size_t clock = end + 1;
  while (clock < text.size() &&
         (is_digit(text[clock]) ||
          std::string_view(":.,Z+").find(text[clock]) != std::string_view::npos)) {
    ++clock;
  }
  const bool is_time = text.substr(end + 1, clock - end - 1).find(':') != std::string_view::npos;
  return is_time && skip(text, clock);
}

// "[core.py:77]", "[v1/engine/core.py:77]", and "core.py:77]" of old versions.
bool skip_place(std::string_view& text) {
  const std::string_view head = text.substr(0, 160);
  const std::size_t end = head.find(']');
  const std::size_t colon = head.substr(0, end).rfind(':');
  if (end == std::string_view::npos || colon == std::string_view::npos) return false;
  const std::string_view file = head.substr(0, colon);
  if (!file.ends_with(".py") && !file.ends_with(".cc")) return false;
  if (file.find(' ') != std::string_view::npos) return false;
  const bool has_line =
      colon + 1 < end && std::ranges::all_of(head.substr(colon + 1, end - colon - 1), is_digit);
  return has_line && skip(text, end + 1);
}

// "vllm-1  | ", of docker compose.
bool skip_container(std::string_view& text) {
  const std::size_t bar = text.substr(0, 64).find(" | ");
  if (bar == std::string_view::npos || bar == 0) return false;
  const std::string_view name = text.substr(0, text.find(' '));
  const bool is_padded =
      text.substr(name.size(), bar - name.size()).find_first_not_of(' ') == std::string_view::npos;
  const bool is_name = std::ranges::all_of(name, [](char c) { return is_word(c) || c == '-'; }) &&
                       is_digit(name.back());
  if (!is_name || !is_padded) return false;
  text.remove_prefix(bar + 3);
  return true;
}

// Where "12:30:42" stands first, npos if nowhere.
std::size_t clock_in(std::string_view text) {
  for (std::size_t at = text.find(':'); at != std::string_view::npos; at = text.find(':', at + 1)) {
    if (at < 2 || at + 6 > text.size()) continue;
    const std::string_view clock = text.substr(at - 2, 8);
    const bool is_one = is_digit(clock[0]) && is_digit(clock[1]) && is_digit(clock[3]) &&
                        is_digit(clock[4]) && clock[5] == ':' && is_digit(clock[6]) &&
                        is_digit(clock[7]);
    if (is_one) return at - 2;
  }
  return std::string_view::npos;
}

// What another program has put before the line, with the time in it: the journal's "Aug 19 18:34:30
// host vllm[8707]: ", or anything in front of a process's name.
bool skip_foreign(std::string_view& text) {
  const std::string_view head = text.substr(0, 120);
  const std::size_t clock = clock_in(head);
  if (clock == std::string_view::npos) return false;
  for (std::size_t at = head.find('(', clock); at != std::string_view::npos;
       at = head.find('(', at + 1)) {
    std::string_view rest = text.substr(at);
    if (!skip_process(rest)) continue;
    text.remove_prefix(at);
    return true;
  }
  const bool is_journal =
      clock >= 4 && clock <= 8 && std::isupper(static_cast<unsigned char>(text[0]));
  const std::size_t end = head.find("]: ", clock);
  if (!is_journal || end == std::string_view::npos || !is_digit(head[end - 1])) return false;
  text.remove_prefix(end + 3);
  return true;
}

struct LevelWord {
  std::string_view word;
  LogLevel level;
};
constexpr std::array kLevels{
    LevelWord{"INFO", LogLevel::kInfo},      LevelWord{"WARNING", LogLevel::kWarning},
    LevelWord{"ERROR", LogLevel::kError},    LevelWord{"DEBUG", LogLevel::kDebug},
    LevelWord{"CRITICAL", LogLevel::kError}, LevelWord{"FATAL", LogLevel::kError},
};

// "ERROR 08-12 ...", "ERROR [core.py:1] ...", "ERROR:    ...".
bool take_level(std::string_view& text, LogLevel& level) {
  for (const LevelWord& known : kLevels) {
    if (!text.starts_with(known.word)) continue;
    const std::string_view rest = text.substr(known.word.size());
    if (rest.starts_with(": ")) {  // uvicorn pads
      text = rest.substr(std::min(rest.find_first_not_of(' ', 1), rest.size()));
    } else if (rest.starts_with(' ')) {
      text = rest.substr(1);
    } else {
      return false;
    }
    level = known.level;
    return true;
  }
  return false;
}

// glog's: "W1128 21:05:09.3 7 file.cpp:29]", "[W422 01:30:39.0 file.cpp:125]", I, W, E and F.
bool take_glog(std::string_view text, LogLevel& level) {
  if (text.starts_with('[')) text.remove_prefix(1);
  if (text.size() < 6 || !is_digit(text[1]) || !is_digit(text[2]) || !is_digit(text[3])) {
    return false;
  }
  const std::size_t blank = text.find(' ');
  if (blank == std::string_view::npos || blank > 5 || text.find(':') > blank + 3) return false;
  switch (text.front()) {
    case 'I':
      level = LogLevel::kInfo;
      return true;
    case 'W':
      level = LogLevel::kWarning;
      return true;
    case 'E':
    case 'F':
      level = LogLevel::kError;
      return true;
    default:
      return false;
  }
}

// {"level": "WARNING", ...}: the level stands in front of the message.
void take_json(std::string_view text, LogLevel& level) {
  if (!text.starts_with('{')) return;
  text = text.substr(0, 256);
  std::size_t first = text.size();
  for (const LevelWord& known : kLevels) {
    const std::size_t at = text.find("\"" + std::string(known.word) + "\"");
    if (at >= first) continue;
    first = at;
    level = known.level;
  }
}

}  // namespace

LogLine take_apart(std::string_view line) {
  LogLine taken{LogLevel::kNone, line};
  std::string_view& text = taken.text;
  skip_container(text);
  skip_foreign(text);
  // Several stand before one another: a worker's line passes through its parent.
  while (skip_process(text) || skip_rank(text) || skip_time(text) || skip_place(text) ||
         take_level(text, taken.level)) {
  }
  if (taken.level == LogLevel::kNone) take_glog(text, taken.level);
  if (taken.level == LogLevel::kNone) take_json(text, taken.level);
  return taken;
}

std::string without_escapes(std::string_view line) {
  std::string text;
  text.reserve(line.size());
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\x1b') {
      text += line[i];
    } else if (i + 1 < line.size() && line[i + 1] == '[') {
      i = std::min(line.find_first_of("ABCDEFGHJKSTfmnsu", i + 2), line.size() - 1);
    }
  }
  return text;
}

bool is_code(std::string_view text) {
  return text.starts_with("    ") || trim(text).starts_with("File \"") ||
         text.starts_with("Traceback (most recent call last)");
}

bool is_exception(std::string_view text) {
  const std::size_t end =
      static_cast<std::size_t>(std::ranges::find_if_not(text, is_word) - text.begin());
  const std::string_view name = text.substr(0, end);
  if (end < text.size() && text[end] != ':') return false;
  constexpr std::array<std::string_view, 4> kEndings{"Error", "Exception", "Exit", "Interrupt"};
  return std::ranges::any_of(kEndings, [&](std::string_view ending) {
    return name.ends_with(ending) &&
           (name.size() > ending.size() || end < text.size());  // not the word alone
  });
}

}  // namespace batchproxy
