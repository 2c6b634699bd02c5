// launcher/process/log/rotating_log.h - RotatingLog: an engine's log file, of bounded size.
//
// Once the file is full its text is moved to FILE.1, what was there to FILE.2, and so on. The file
// itself stays the same one: whoever has locked it keeps its lock. What cannot be written, because
// the disk is full, is dropped, and the log says so as soon as it can: an engine never waits for
// its log.
//
// Threading: confined to one thread; blocks while it writes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "backends/net/descriptor.h"

namespace batchproxy {

class RotatingLog {
 public:
  struct Limits {
    std::uint64_t bytes = std::uint64_t{50} << 20;  // of one file
    int kept = 5;                                   // files beside it
  };

  // False, with errno, when the file cannot be opened. Makes its directory.
  bool open(const std::string& path, Limits limits);
  bool open(const std::string& path) { return open(path, Limits()); }
  // Instead: writes to a pipe that somebody reads. What he is too slow for is dropped.
  void open_pipe(Descriptor pipe);

  void write(std::string_view bytes);

 private:
  void put(std::string_view bytes);
  void rotate();
  std::string name(int number) const { return path_ + "." + std::to_string(number); }

  std::string path_;
  Limits limits_{};
  Descriptor file_;
  std::uint64_t size_ = 0;
  std::uint64_t dropped_ = 0;  // bytes, since the last that could be written
};

}  // namespace batchproxy
