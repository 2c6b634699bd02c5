// proxy/trace/log_file.h - LogFile: a file, or standard output, that lines are appended to, which
// may be moved away or stand still meanwhile.
//
// Threading: confined to one thread, except give_up().
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "backends/net/descriptor.h"
#include "batcher/base/time.h"

namespace batchproxy {

class LogFile {
 public:
  static constexpr std::string_view kStandardOutput = "-";

  // Opens it, anew if it is the one that it was. False: problem() says why not; write() tries
  // again.
  bool set_path(std::string path);
  const std::string& path() const { return path_; }

  // Appends `lines`, each of which ends in a newline. Waits for a reader that is slow, but not for
  // one that takes nothing for `patience`. Returns how many of the lines have been written whole.
  std::size_t write(std::string_view lines, Duration patience);
  // Opens it anew if another file, or none, is at its path by now.
  void look_whether_moved();

  // Why the last write() or the opening failed; empty: it did not.
  const std::string& problem() const { return problem_; }
  void forget_problem() { problem_.clear(); }
  // write() returns soon from now on. Threading: any thread.
  void give_up() { gives_up_ = true; }

 private:
  bool open();
  int descriptor() const;
  std::size_t write_some(std::string_view bytes, Duration patience);

  std::string path_;
  Descriptor file_;
  bool cut_ = false;  // the last line is half a one
  std::string problem_;
  std::atomic<bool> gives_up_{false};
};

}  // namespace batchproxy
