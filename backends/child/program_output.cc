// backends/child/program_output.cc - see program_output.h.
#include "backends/child/program_output.h"

#include <array>
#include <csignal>
#include <cstddef>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace batchproxy {
namespace {

using Clock = std::chrono::steady_clock;

// In a process group of its own, so that all of it can be ended; 0 when it cannot be started.
pid_t started(const std::vector<std::string>& argv, int output) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int problem = ::posix_spawn(&pid, words[0], &files, &attributes, words.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  return problem == 0 ? pid : 0;
}

// All that comes until the end; nothing when that does not come in time.
std::optional<std::string> read_all(int from, Clock::time_point give_up) {
  constexpr std::size_t kMost = 1 << 16;
  std::string text;
  while (text.size() < kMost) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(give_up - Clock::now()).count();
    pollfd readable{from, POLLIN, 0};
    if (left <= 0 || ::poll(&readable, 1, static_cast<int>(left)) <= 0) return std::nullopt;
    std::array<char, 4096> piece{};
    const ssize_t size = ::read(from, piece.data(), piece.size());
    if (size <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(size));
  }
  return text;
}

}  // namespace

std::optional<std::string> program_output(const std::vector<std::string>& argv,
                                          std::chrono::seconds most) {
  std::array<int, 2> ends{};
  if (argv.empty() || ::pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  const pid_t pid = started(argv, ends[1]);
  ::close(ends[1]);
  std::optional<std::string> text;
  if (pid > 0) {
    text = read_all(ends[0], Clock::now() + most);
    ::kill(-pid, SIGKILL);  // it has said what it had to say, or is too slow
    ::waitpid(pid, nullptr, 0);
  }
  ::close(ends[0]);
  return text && !text->empty() ? text : std::nullopt;
}

}  // namespace batchproxy
