// launcher/process/log_tail.cc - reads the ends of files.
#include "launcher/process/log_tail.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

namespace batchproxy {
namespace {

constexpr std::uint64_t kLastBytes = 64 * 1024;

std::uint64_t size_of(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? 0 : size;
}

std::string read_range(const std::string& path, std::uint64_t begin, std::uint64_t end) {
  std::string bytes(end - begin, '\0');
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(begin));
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return bytes;
}

// Progress bars rewrite their line with carriage returns; each state counts as a line.
std::vector<std::string> lines_of(const std::string& bytes) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < bytes.size();) {
    const std::size_t end = std::min(bytes.find_first_of("\r\n", begin), bytes.size());
    if (end > begin) lines.push_back(bytes.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

LogTail::LogTail(std::string path)
    : path_(std::move(path)), begin_(size_of(path_)), next_(begin_) {}

std::string LogTail::read_new(std::size_t max_bytes) {
  const std::uint64_t size = size_of(path_);
  if (size < next_) begin_ = next_ = 0;
  std::string bytes = read_range(path_, next_, std::min<std::uint64_t>(size, next_ + max_bytes));
  next_ += bytes.size();
  return bytes;
}

std::vector<std::string> LogTail::last_lines(std::size_t count) const {
  const std::uint64_t size = size_of(path_);
  const std::uint64_t from = size < begin_ ? 0 : begin_;
  const std::uint64_t begin = std::max(from, size - std::min(size, kLastBytes));
  std::vector<std::string> lines = lines_of(read_range(path_, begin, size));
  const std::size_t excess = lines.size() - std::min(lines.size(), count);
  lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(excess));
  return lines;
}

}  // namespace batchproxy
