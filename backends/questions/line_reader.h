// backends/questions/line_reader.h - LineReader: the lines of a file, one at a time, in bounded
// memory.
//
// Threading: confined to one thread. Reads block.
#pragma once

#include <cstdint>
#include <string>

namespace batchproxy {

class LineReader {
 public:
  // A line of more bytes is not kept; no proxy of ours would take its body.
  static constexpr std::size_t kMaxLine = std::size_t{32} << 20;

  enum class Got { kLine, kTooLong, kEnd };

  // Reads from where `fd` stands, which stays the caller's. Throws std::runtime_error with `name`
  // when the file cannot be read.
  LineReader(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  // The next line, without its end (LF or CRLF). The last one may lack an end.
  Got next(std::string& line);

  // Of the line that next() gave, from 1.
  std::int64_t number() const { return number_; }

 private:
  bool refill();

  const int fd_;
  const std::string name_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::int64_t number_ = 0;
};

}  // namespace batchproxy
