// launcher/process/group_guard.cc - see group_guard.h.
#include "launcher/process/group_guard.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <set>
#include <thread>

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

namespace batchproxy {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookAgain{50};
constexpr int kUsage = 2;

// It starts with the signals as a fresh process has them, and with nothing of our terminal's.
pid_t spawn_guard(const std::string& self, const std::string& grace, int input) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
  for (const int output : {STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&files, output, "/dev/null", O_WRONLY, 0);
  }
  std::string program = self, word = "group-guard", seconds = grace;
  std::array<char*, 4> argv{program.data(), word.data(), seconds.data(), nullptr};
  std::array<char*, 1> environment{nullptr};
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, self.c_str(), &files, nullptr, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&files);
  return error == 0 ? pid : -1;
}

void send(const std::set<pid_t>& groups, int signal) {
  for (const pid_t group : groups) ::kill(-group, signal);
}

bool is_any_left(const std::set<pid_t>& groups) {
  for (const pid_t group : groups) {
    if (::kill(-group, 0) == 0) return true;
  }
  return false;
}

// Until nobody can write any more: the groups that are guarded then.
std::set<pid_t> read_notes() {
  std::set<pid_t> groups;
  for (;;) {
    GuardNote note;
    const ssize_t count = ::read(STDIN_FILENO, &note, sizeof note);
    if (count < 0 && errno == EINTR) continue;
    if (count != static_cast<ssize_t>(sizeof note)) return groups;  // a pipe keeps them whole
    if (note.group <= 1) continue;
    if (note.is_guarded != 0) {
      groups.insert(note.group);
    } else {
      groups.erase(note.group);
    }
  }
}

}  // namespace

void GuardNote::write(int guard) const {
  if (guard < 0) return;
  [[maybe_unused]] const auto told = ::write(guard, this, sizeof *this);
}

int GroupGuard::descriptor() {
  if (pipe_.get() >= 0 || self_.empty()) return pipe_.get();
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return -1;
  const Descriptor read_end(ends[0]);
  Descriptor write_end(ends[1]);
  if (spawn_guard(self_, std::to_string(grace_.count()), read_end.get()) < 0) return -1;
  pipe_ = std::move(write_end);
  return pipe_.get();
}

int run_group_guard(int argc, char** argv) {
  char* end = nullptr;
  const double grace = argc == 2 ? std::strtod(argv[1], &end) : -1;
  if (grace < 0 || end == nullptr || *end != '\0' || ::isatty(STDIN_FILENO) != 0) {
    std::cerr << "group-guard is started by batchproxy itself; see "
                 "launcher/process/group_guard.h\n";
    return kUsage;
  }
  // Whoever ends us all by a signal to our group or session means the others.
  ::setsid();
  for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2}) {
    ::signal(number, SIG_IGN);
  }
  // A connection that we held open would not end with our parent.
  const long most = ::sysconf(_SC_OPEN_MAX);
  for (int file = STDERR_FILENO + 1; file < std::min(most, 65536L); ++file) ::close(file);
  const std::set<pid_t> groups = read_notes();
  send(groups, SIGTERM);
  send(groups, SIGCONT);  // a stopped process handles no signal
  const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(grace));
  while (is_any_left(groups) && Clock::now() < until) std::this_thread::sleep_for(kLookAgain);
  send(groups, SIGKILL);
  return 0;
}

}  // namespace batchproxy
