// launcher/process/shim.cc - parent of one engine, reaper of all its descendants.
//
// What it relies on: PR_SET_CHILD_SUBREAPER hands us every orphan of the tree, also those that
// called setsid(), so "no child left" proves that the whole tree is gone.
#include "launcher/process/shim.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/process/shim_status.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Kind = ShimStatus::Kind;

// While killing: how soon to look again for children that we inherited since.
constexpr std::chrono::milliseconds kKillAgain{20};

struct ShimArguments {
  int control_fd = -1;
  int status_fd = -1;
  int kept_fd = -1;         // for the engine, untouched
  double stop_timeout = 0;  // seconds
  std::string log_file;
  char** engine_argv = nullptr;  // null-terminated
};

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<ShimArguments> parse_arguments(int argc, char** argv) {
  ShimArguments arguments;
  int next = 1;
  for (; next + 1 < argc && std::string_view(argv[next]) != "--"; next += 2) {
    const std::string_view name = argv[next];
    const std::string_view value = argv[next + 1];
    bool good = false;
    if (name == "--control-fd") good = parse_number(value, arguments.control_fd);
    if (name == "--status-fd") good = parse_number(value, arguments.status_fd);
    if (name == "--keep-fd") good = parse_number(value, arguments.kept_fd);
    if (name == "--stop-timeout") good = parse_number(value, arguments.stop_timeout);
    if (name == "--log") good = !(arguments.log_file = value).empty();
    if (!good) return std::nullopt;
  }
  const bool has_command = next + 1 < argc && std::string_view(argv[next]) == "--";
  if (!has_command || arguments.control_fd < 0 || arguments.status_fd < 0 ||
      arguments.log_file.empty()) {
    return std::nullopt;
  }
  arguments.engine_argv = argv + next + 1;
  return arguments;
}

// Whatever we inherited would otherwise stay open as long as the engine lives: listening sockets of
// the launcher, control pipes of other shims.
void close_files_except(const std::array<int, 3>& kept) {
  std::vector<int> files;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd", ignored)) {
    int file = -1;
    if (parse_number(entry.path().filename().native(), file) && file > STDERR_FILENO) {
      files.push_back(file);
    }
  }
  for (const int file : files) {
    if (std::ranges::find(kept, file) == kept.end()) close(file);
  }
}

// Ours and adopted ones; not their descendants, which become ours when their parents die.
std::vector<pid_t> children() {
  std::ifstream list("/proc/thread-self/children");
  std::vector<pid_t> pids;
  for (pid_t pid = 0; list >> pid;) pids.push_back(pid);
  return pids;
}

[[noreturn]] void become_engine(char** argv, pid_t shim, int error_fd) {
  // If the shim is killed, nobody is left to stop the engine.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != shim) _exit(1);
  setpgid(0, 0);
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execv(argv[0], argv);
  const int error = errno;
  if (write(error_fd, &error, sizeof error) != sizeof error) _exit(126);
  _exit(127);
}

class Shim {
 public:
  explicit Shim(const ShimArguments& arguments)
      : arguments_(arguments), control_(arguments.control_fd) {}

  int run() {
    isolate();
    const bool started = redirect_output() && start_engine();
    if (started) {
      while (reap()) {
        wait_for_events();
        if (deadline_ && Clock::now() >= *deadline_) kill_tree();
      }
    }
    report({Kind::kGone});
    return started ? 0 : 1;
  }

 private:
  void isolate() {
    close_files_except({arguments_.control_fd, arguments_.status_fd, arguments_.kept_fd});
    fcntl(arguments_.control_fd, F_SETFD, FD_CLOEXEC);
    fcntl(arguments_.status_fd, F_SETFD, FD_CLOEXEC);
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    // When to stop is the launcher's decision; a terminal's Ctrl-C, a log-out or a batch system's
    // warning is not ours.
    for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2}) {
      signal(number, SIG_IGN);
    }
    sigset_t child_signal;
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_signal, nullptr);
    child_events_ = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
  }

  // To a launcher that has died nothing can be reported; the tree is taken down all the same.
  void report(const ShimStatus& status) const {
    const std::string line = to_line(status);
    [[maybe_unused]] const ssize_t written = write(arguments_.status_fd, line.data(), line.size());
  }

  bool fail(const std::string& what) const {
    report({Kind::kFailed, 0, what + ": " + std::strerror(errno)});
    return false;
  }

  // The engine inherits our stdin, stdout and stderr.
  bool redirect_output() const {
    std::error_code ignored;
    const fs::path directory = fs::path(arguments_.log_file).parent_path();
    if (!directory.empty()) fs::create_directories(directory, ignored);
    const int log = open(arguments_.log_file.c_str(),
                         O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
    if (log < 0) return fail("cannot write the log file " + arguments_.log_file);
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing < 0) return fail("cannot open /dev/null");
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    close(nothing);
    close(log);
    return true;
  }

  bool start_engine() {
    std::array<int, 2> exec_error{};
    if (pipe2(exec_error.data(), O_CLOEXEC) != 0) return fail("pipe");
    const pid_t shim = getpid();
    leader_ = fork();
    if (leader_ < 0) return fail("fork");
    if (leader_ == 0) become_engine(arguments_.engine_argv, shim, exec_error[1]);
    setpgid(leader_, leader_);  // whoever is first; a kill of the group must never miss it
    close(exec_error[1]);
    int error = 0;
    const bool failed = read(exec_error[0], &error, sizeof error) == sizeof error;
    close(exec_error[0]);
    if (failed) {
      waitpid(leader_, nullptr, 0);
      report({Kind::kExecFailed, error});
      return false;
    }
    report({Kind::kPid, leader_});
    return true;
  }

  // Collects every child that has ended. False when no child is left.
  bool reap() {
    for (;;) {
      siginfo_t ended{};
      // Only looks: until it is reaped, the leader's pid and group cannot belong to a stranger.
      if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0) {
        if (errno == EINTR) continue;
        return false;
      }
      if (ended.si_pid == 0) return true;
      if (ended.si_pid == leader_) {
        kill(-leader_, SIGKILL);
        leader_ = 0;
        report(ended.si_code == CLD_EXITED ? ShimStatus{Kind::kExited, ended.si_status}
                                           : ShimStatus{Kind::kKilled, ended.si_status});
        kill_tree();
      }
      waitpid(ended.si_pid, nullptr, 0);
    }
  }

  void wait_for_events() {
    std::array<pollfd, 2> files{pollfd{child_events_, POLLIN, 0}, pollfd{control_, POLLIN, 0}};
    poll(files.data(), files.size(), timeout_ms());
    signalfd_siginfo drained;
    while (read(child_events_, &drained, sizeof drained) > 0) {
    }
    if (files[1].revents != 0) read_control();
  }

  int timeout_ms() const {
    if (!deadline_) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
    return static_cast<int>(std::max(left, kKillAgain).count());
  }

  void read_control() {
    std::array<char, 64> bytes;
    const ssize_t count = read(control_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) return;
    if (count <= 0) {
      control_ = -1;  // poll ignores it from now on
      return stop();
    }
    commands_.append(bytes.data(), static_cast<std::size_t>(count));
    for (auto end = commands_.find('\n'); end != std::string::npos; end = commands_.find('\n')) {
      const std::string command = commands_.substr(0, end);
      commands_.erase(0, end + 1);
      if (command == "stop") stop();
      if (command.starts_with("stop ")) {
        double grace = arguments_.stop_timeout;
        parse_number(std::string_view(command).substr(5), grace);
        stop(grace);
      }
      if (command == "kill") kill_tree();
    }
  }

  // SIGTERM goes to the leader alone: during vLLM's warm-up it would kill the leader's children in
  // a way that orphans theirs.
  void stop() { stop(arguments_.stop_timeout); }
  void stop(double seconds) {
    const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                          std::chrono::duration<double>(seconds));
    if (deadline_) {
      deadline_ = std::min(*deadline_, until);
      return;
    }
    deadline_ = until;
    if (leader_ == 0) return;
    kill(leader_, SIGTERM);
    kill(leader_, SIGCONT);  // a stopped process handles no signal
  }

  // Once begun, it goes on at each turn until no child is left.
  void kill_tree() {
    deadline_ = Clock::now();
    if (leader_ != 0) kill(-leader_, SIGKILL);
    for (const pid_t child : children()) kill(child, SIGKILL);
  }

  const ShimArguments arguments_;
  int control_;
  int child_events_ = -1;
  pid_t leader_ = 0;  // 0 when it has ended
  std::optional<Clock::time_point> deadline_;
  std::string commands_;
};

}  // namespace

int run_shim(int argc, char** argv) {
  const auto arguments = parse_arguments(argc, argv);
  if (!arguments) {
    std::cerr << "engine-shim is started by batchproxy itself; see launcher/process/shim.h\n";
    return 2;
  }
  return Shim(*arguments).run();
}

}  // namespace batchproxy
