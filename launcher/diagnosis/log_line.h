// launcher/diagnosis/log_line.h - a line of an engine's log, taken apart: how loud it is, and what
// it says without the names and times that processes, loggers, containers and vLLM put before it.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace batchproxy {

enum class LogLevel : std::uint8_t {
  kNone,  // none is said: a traceback, a progress bar, a program that is not vLLM
  kDebug,
  kInfo,
  kWarning,
  kError,
};

struct LogLine {
  LogLevel level = LogLevel::kNone;
  std::string_view text;  // its indentation is kept: it tells code from messages
};

// A view into `line`, which has no line end and no escapes.
LogLine take_apart(std::string_view line);

// `line` without colours and cursor movements: ESC [ parameters letter.
std::string without_escapes(std::string_view line);

// Whether it is of a traceback's inside: a frame, its source line, or the carets below that. Such a
// line quotes code, and so tells nothing of what happened.
bool is_code(std::string_view text);

// "ValueError: ..." or "vllm.exceptions.SomeError": what a traceback ends with.
bool is_exception(std::string_view text);

}  // namespace batchproxy
