// tests/launcher/process/process_probe.h - learns the pids of an engine's tree and waits for their
// ends.
//
// Everything waits on descriptors with a deadline; nothing sleeps.
//
// Threading: confined to the test.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace batchproxy {

inline constexpr int kProbeDeadlineMs = 20000;

inline bool wait_readable(int descriptor) {
  pollfd file{descriptor, POLLIN, 0};
  return poll(&file, 1, kProbeDeadlineMs) == 1;
}

// Opened while the process lives, so a reused pid cannot fool it.
class ProcessProbe {
 public:
  explicit ProcessProbe(pid_t pid)
      : descriptor_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}
  ProcessProbe(ProcessProbe&& other) noexcept : descriptor_(other.descriptor_) {
    other.descriptor_ = -1;
  }
  ProcessProbe& operator=(ProcessProbe&&) = delete;
  ~ProcessProbe() {
    if (descriptor_ >= 0) close(descriptor_);
  }

  bool is_running() const {
    pollfd file{descriptor_, POLLIN, 0};
    return descriptor_ >= 0 && poll(&file, 1, 0) == 0;
  }
  bool wait_until_ended() const { return descriptor_ >= 0 && wait_readable(descriptor_); }

 private:
  int descriptor_;
};

// A named pipe into which the processes of a tree write their pids, one per line, once they are
// set.
class PidPipe {
 public:
  explicit PidPipe(std::string path) : path_(std::move(path)) {
    if (mkfifo(path_.c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
    descriptor_ = open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  PidPipe(const PidPipe&) = delete;
  PidPipe& operator=(const PidPipe&) = delete;
  ~PidPipe() { close(descriptor_); }

  const std::string& path() const { return path_; }

  std::vector<ProcessProbe> read_processes(std::size_t count) {
    std::vector<ProcessProbe> processes;
    std::string text;
    while (processes.size() < count) {
      if (!wait_readable(descriptor_))
        throw std::runtime_error("the engine's tree did not come up");
      char byte = 0;
      if (read(descriptor_, &byte, 1) != 1) continue;
      if (byte != '\n') {
        text += byte;
        continue;
      }
      processes.emplace_back(std::stoi(text));
      text.clear();
    }
    return processes;
  }

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace batchproxy
