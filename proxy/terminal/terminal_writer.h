// proxy/terminal/terminal_writer.h - TerminalWriter: the one writer of the terminal, so that the
// board of loading engines, other lines on stdout, and the log on stderr never overwrite each
// other.
//
// Where stdout is no terminal that understands cursor movements (a file, a pipe, TERM=dumb) all is
// plain lines, flushed one by one.
//
// Threading: any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/terminal/startup_display.h"

namespace batchproxy {

class TerminalWriter {
 public:
  TerminalWriter();

  bool is_terminal() const { return is_terminal_; }    // of people, who look at it now
  bool moves_cursor() const { return moves_cursor_; }  // what it shows can be kept up to date
  // 0 where it has none.
  std::size_t columns() const { return size().columns; }

  void line(std::string_view text);
  // A line about something that has happened now: where nobody looks at it now, with the time.
  void event(std::string_view text);
  // Writes what `write` writes to the same terminal in its own way.
  template <class Write>
  void aside(Write write) {
    const std::lock_guard lock(mutex_);
    lift();
    write();
    restore();
  }

  // From here to end_board() the engines have a line each.
  void begin_board(std::vector<StartupDisplay::Engine> engines);
  void end_board();
  bool has_board() const;
  void update(BackendId engine, std::string_view text, bool milestone, TimePoint now);

  // How things go: one line that stays below all others, where the cursor can be moved and there is
  // no board of engines.
  void status(std::string_view text, TimePoint now);

 private:
  struct Size {
    std::size_t columns = 0;
    std::size_t rows = 0;
  };
  Size size() const;
  void measure_board();
  void lift();
  void restore();

  std::string stamp() const;

  const bool is_terminal_;
  const bool moves_cursor_;
  mutable std::mutex mutex_;
  // Under mutex_:
  std::optional<StartupDisplay> board_;  // of engines, or of the status alone
  bool of_engines_ = false;              // which of these
};

// From now on what the log writes to stderr goes by `writer`, if both are the same terminal.
// Threading: start-up only, before others log.
void log_through(const std::shared_ptr<TerminalWriter>& writer);

}  // namespace batchproxy
