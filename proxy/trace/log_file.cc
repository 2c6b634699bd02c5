// proxy/trace/log_file.cc - see log_file.h.
#include "proxy/trace/log_file.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace batchproxy {

namespace {

constexpr int kLookMs = 50;  // how often a wait looks whether it is still wanted

// Of lines, those that a pipe takes in one go; of a longer line its beginning. What others write to
// the same pipe comes between two lines then.
std::string_view piece_of(std::string_view lines) {
  const std::string_view most = lines.substr(0, PIPE_BUF);
  const std::size_t end = most.rfind('\n');
  return end == std::string_view::npos ? most : most.substr(0, end + 1);
}

std::string reason(int error) {
  return std::strerror(error);
}

}  // namespace

bool LogFile::set_path(std::string path) {
  path_ = std::move(path);
  file_ = Descriptor();
  cut_ = false;
  return path_.empty() || open();
}

int LogFile::descriptor() const {
  return path_ == kStandardOutput ? STDOUT_FILENO : file_.get();
}

// Never waits: a pipe that nobody reads is no file to open.
bool LogFile::open() {
  if (path_ == kStandardOutput || file_.get() >= 0) return true;
  const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK;
  file_ = Descriptor(::open(path_.c_str(), flags, 0640));
  if (file_.get() < 0) problem_ = "cannot open it: " + reason(errno);
  return file_.get() >= 0;
}

void LogFile::look_whether_moved() {
  if (file_.get() < 0) return;
  struct stat ours{}, there{};
  const bool same = ::fstat(file_.get(), &ours) == 0 && ::stat(path_.c_str(), &there) == 0 &&
                    ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
  if (same) return;
  file_ = Descriptor();
  cut_ = false;
}

std::size_t LogFile::write(std::string_view lines, Duration patience) {
  problem_.clear();
  if (!open()) return 0;
  if (cut_ && write_some("\n", patience) == 0) return 0;
  cut_ = false;
  std::size_t done = 0;
  while (done < lines.size()) {
    // What poll() says has room takes so much at once: standard output may not be told to fail
    // rather than wait, as others have it, too.
    const std::size_t n = write_some(piece_of(lines.substr(done)), patience);
    if (n == 0) break;
    done += n;
  }
  const std::string_view written = lines.substr(0, done);
  cut_ = !written.empty() && written.back() != '\n';
  return static_cast<std::size_t>(std::ranges::count(written, '\n'));
}

// 0: not now.
std::size_t LogFile::write_some(std::string_view bytes, Duration patience) {
  const TimePoint until = std::chrono::steady_clock::now() + patience;
  while (true) {
    pollfd ready{descriptor(), POLLOUT, 0};
    ::poll(&ready, 1, kLookMs);
    if (ready.revents != 0) {
      const ssize_t n = ::write(descriptor(), bytes.data(), bytes.size());
      if (n > 0) return static_cast<std::size_t>(n);
      if (errno != EAGAIN && errno != EINTR) {
        problem_ = "cannot write to it: " + reason(errno);
        file_ = Descriptor();
        return 0;
      }
    }
    if (gives_up_ || std::chrono::steady_clock::now() >= until) {
      problem_ = "nobody takes what is written to it";
      return 0;
    }
  }
}

}  // namespace batchproxy
