// launcher/process/log_tail.h - reads what an engine writes to its log file, without ever waiting
// for it.
//
// Threading: confined to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace batchproxy {

class LogTail {
 public:
  // Starts at the file's present end: what earlier runs wrote is not ours. The file need not exist.
  explicit LogTail(std::string path);

  // The bytes that were appended since the last call, at most `max_bytes` of it. A file that became
  // shorter is read from its beginning.
  std::string read_new(std::size_t max_bytes = 256 * 1024);

  // The byte at which this run's output begins.
  std::uint64_t begin() const { return begin_; }

  // The last `count` lines written since construction, for a failure report; at most 64 KiB.
  std::vector<std::string> last_lines(std::size_t count) const;

 private:
  std::string path_;
  std::uint64_t begin_ = 0;  // where this run's output begins
  std::uint64_t next_ = 0;
};

}  // namespace batchproxy
