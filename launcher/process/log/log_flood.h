// launcher/process/log/log_flood.h - LogFlood: what of an engine's output goes into its log when it
// writes without end.
//
// Two rules, so that a flood fills no disk and hides nothing:
//   the same line again and again: its first three are written, and later how many more there were
//   more than 2,000 lines within a second: the rest is left out, but for the last 100 of them,
//     since those tell why an engine died; how many were left out is written
// A line of more than 16 KiB is cut. What ends with a carriage return is a line, too: a progress
// bar. A line that has not ended yet is let through at once, unless it may belong to a flood.
//
// Whoever drives it writes what pass() returns, calls pass() with nothing at due(), and at the end
// rest().
//
// Threading: plain values; the time is passed in. Memory: at most some 2 MiB.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "batcher/base/time.h"

namespace batchproxy {

class LogFlood {
 public:
  static constexpr std::uint64_t kSameShown = 3;
  static constexpr std::uint64_t kMostLines = 2000;  // within a second
  static constexpr std::size_t kLastLines = 100;     // of those beyond
  static constexpr std::size_t kLongestLine = 16 * 1024;
  static constexpr Duration kWindow = std::chrono::seconds(1);
  static constexpr Duration kTellAgain = std::chrono::seconds(60);  // of the same line

  // What is to be written now that the engine has written `bytes`.
  std::string pass(std::string_view bytes, TimePoint now);
  // When there is something to write although the engine writes nothing.
  std::optional<TimePoint> due() const;
  // It writes no more.
  std::string rest();

 private:
  void end_line(char end);
  void put_line(std::string line);
  void show_beginning();
  void tell_same();
  void end_window();

  std::string out_;
  std::string line_;          // that has not ended yet, up to kLongestLine
  std::size_t shown_ = 0;     // of its bytes
  std::uint64_t cut_ = 0;     // bytes that are not in it any more
  std::string last_;          // the line before it
  std::uint64_t same_ = 0;    // how often that came
  std::uint64_t untold_ = 0;  // of these neither shown nor told
  std::uint64_t lines_ = 0;   // written in this window
  std::uint64_t left_out_ = 0;
  std::deque<std::string> last_lines_;
  TimePoint window_begin_{};
  TimePoint last_bytes_{};
  TimePoint told_{};  // of the same line
};

}  // namespace batchproxy
