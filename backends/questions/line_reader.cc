// backends/questions/line_reader.cc - see line_reader.h.
#include "backends/questions/line_reader.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <unistd.h>

namespace batchproxy {

namespace {
constexpr std::size_t kPiece = 256 * 1024;
}  // namespace

bool LineReader::refill() {
  buffer_.resize(kPiece);
  begin_ = 0;
  ssize_t got = 0;
  do got = ::read(fd_, buffer_.data(), buffer_.size());
  while (got < 0 && errno == EINTR);
  if (got < 0) throw std::runtime_error(name_ + " cannot be read: " + std::strerror(errno));
  buffer_.resize(static_cast<std::size_t>(got));
  return got > 0;
}

LineReader::Got LineReader::next(std::string& line) {
  line.clear();
  bool any = false;
  bool too_long = false;
  for (bool whole = false; !whole;) {
    if (begin_ == buffer_.size() && !refill()) break;
    any = true;
    const std::size_t end = buffer_.find('\n', begin_);
    whole = end != std::string::npos;
    const std::size_t size = (whole ? end : buffer_.size()) - begin_;
    too_long = too_long || line.size() + size > kMaxLine;
    if (!too_long) line.append(buffer_, begin_, size);
    begin_ += size + (whole ? 1 : 0);
  }
  if (!any) return Got::kEnd;
  ++number_;
  if (too_long) return Got::kTooLong;
  if (line.ends_with('\r')) line.pop_back();
  return Got::kLine;
}

}  // namespace batchproxy
