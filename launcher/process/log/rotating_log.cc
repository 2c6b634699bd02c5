// launcher/process/log/rotating_log.cc - see rotating_log.h.
#include "launcher/process/log/rotating_log.h"

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace batchproxy {

namespace fs = std::filesystem;

bool RotatingLog::open(const std::string& path, Limits limits) {
  path_ = path;
  limits_ = limits;
  std::error_code ignored;
  const fs::path directory = fs::path(path).parent_path();
  if (!directory.empty()) fs::create_directories(directory, ignored);
  file_ =
      Descriptor(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644));
  if (file_.get() < 0) return false;
  struct stat status{};
  if (::fstat(file_.get(), &status) == 0) size_ = static_cast<std::uint64_t>(status.st_size);
  return true;
}

void RotatingLog::open_pipe(Descriptor pipe) {
  limits_.bytes = std::numeric_limits<std::uint64_t>::max();
  file_ = std::move(pipe);
  ::fcntl(file_.get(), F_SETFL, O_WRONLY | O_NONBLOCK);
}

void RotatingLog::write(std::string_view bytes) {
  if (dropped_ > 0) {
    const std::uint64_t before = std::exchange(dropped_, 0);
    put("batchproxy: " + std::to_string(before) + " bytes of this log could not be written\n");
    if (dropped_ > 0) dropped_ = before;
  }
  if (size_ > 0 && size_ + bytes.size() > limits_.bytes) rotate();
  put(bytes);
}

void RotatingLog::put(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      dropped_ += bytes.size();
      return;
    }
    size_ += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

// Copied, not renamed: the file is locked, and others look at its end.
void RotatingLog::rotate() {
  std::error_code ignored;
  for (int number = limits_.kept; number > 1; --number) {
    fs::rename(name(number - 1), name(number), ignored);
  }
  if (limits_.kept > 0) {
    fs::copy_file(path_, name(1), fs::copy_options::overwrite_existing, ignored);
  }
  if (::ftruncate(file_.get(), 0) == 0) size_ = 0;
}

}  // namespace batchproxy
