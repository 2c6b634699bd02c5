// proxy/terminal/startup_display.h - one line per engine while they load: kept up to date in place
// on a terminal; elsewhere a line per milestone, and now and then one about progress. On a terminal
// also the one line of how things go later on.
//
// On a terminal the lines are a board that stays below everything else. No line of it is longer
// than the terminal is wide, or it would take two, and the next drawing would hit what is above.
// For the same reason it is never higher than the terminal: where there are more engines than that,
// those at the same point share a line.
//
// Sans-io: returns the text to write.
//
// Threading: confined to one thread, or guarded by its owner.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/base/time.h"

namespace batchproxy {

class StartupDisplay {
 public:
  static constexpr Duration kProgress =
      std::chrono::seconds(10);  // between lines that are no milestones

  struct Engine {
    BackendId id = 0;
    std::string name{};  // stands before its text; "" for a line that is no engine's
  };
  // `in_place`: the output is a terminal that understands cursor movements.
  StartupDisplay(std::vector<Engine> engines, bool in_place);

  // The terminal is so large from now on; 0: unknown.
  void set_size(std::size_t columns, std::size_t rows) {
    columns_ = columns;
    height_ = rows;
  }

  // An engine is now at `text`. A milestone (started, ready, failed) is always shown.
  std::string update(BackendId engine, std::string_view text, bool milestone, TimePoint now);

  // A line about something else.
  std::string line(std::string_view text);

  // Takes the board off the terminal, for others to write; then restore() puts it there again.
  std::string lift();
  std::string restore();

 private:
  struct Row {
    Engine engine;
    std::string text;
    TimePoint shown{};
  };
  std::vector<std::string> lines() const;
  std::vector<std::string> grouped_lines(std::size_t most) const;
  std::string draw();
  std::string move_to_top() const;

  std::vector<Row> rows_;
  const bool in_place_;
  std::size_t columns_ = 0;
  std::size_t height_ = 0;          // of the terminal, in lines
  std::vector<std::size_t> drawn_;  // columns of each line on the terminal; none: no board there
  bool lifted_ = false;
};

}  // namespace batchproxy
