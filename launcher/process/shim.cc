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
#include <ctime>
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

#include "backends/net/descriptor.h"
#include "launcher/process/log/log_flood.h"
#include "launcher/process/log/rotating_log.h"
#include "launcher/process/run_separator.h"
#include "launcher/process/shim_control.h"
#include "launcher/process/shim_status.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Kind = ShimStatus::Kind;

// While killing: how soon to look again for children that we inherited since.
constexpr std::chrono::milliseconds kKillAgain{20};

constexpr int kPipeBytes = 1 << 20;  // that an engine may write while the shim is busy
constexpr std::size_t kMostAtOnce = 256 * 1024;

struct ShimArguments {
  int control_fd = -1;
  int status_fd = -1;
  int listen_fd = -1;         // instead of these, for an engine that is kept
  std::string socket;         // where that is
  std::string greeting;       // without its newline
  int output_fd = -1;         // instead of log_file
  std::vector<int> kept_fds;  // for the engine, untouched
  double stop_timeout = 0;    // seconds
  std::string log_file;
  std::string run;               // "engine-0, run 3", for the log
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
    if (name == "--listen-fd") good = parse_number(value, arguments.listen_fd);
    if (name == "--socket") good = !(arguments.socket = value).empty();
    if (name == "--greeting") good = !(arguments.greeting = value).empty();
    if (name == "--output-fd") good = parse_number(value, arguments.output_fd);
    if (name == "--keep-fd") good = parse_number(value, arguments.kept_fds.emplace_back());
    if (name == "--stop-timeout") good = parse_number(value, arguments.stop_timeout);
    if (name == "--log") good = !(arguments.log_file = value).empty();
    if (name == "--run") good = !(arguments.run = value).empty();
    if (!good) return std::nullopt;
  }
  const bool has_command = next + 1 < argc && std::string_view(argv[next]) == "--";
  const bool has_pipes = arguments.control_fd >= 0 && arguments.status_fd >= 0;
  const bool is_kept = arguments.listen_fd >= 0 && !arguments.socket.empty();
  const bool has_output = arguments.output_fd >= 0;
  if (!has_command || has_pipes == is_kept || arguments.log_file.empty() != has_output) {
    return std::nullopt;
  }
  arguments.engine_argv = argv + next + 1;
  return arguments;
}

// Whatever we inherited would otherwise stay open as long as the engine lives: listening sockets of
// the launcher, control pipes of other shims.
void close_files_except(const std::vector<int>& kept) {
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
      : arguments_(arguments),
        control_(arguments.listen_fd >= 0
                     ? ShimControl(arguments.listen_fd, arguments.greeting + "\n")
                     : ShimControl(arguments.control_fd, arguments.status_fd)) {}

  int run() {
    isolate();
    const bool started = redirect_output() && start_engine();
    if (started) {
      while (reap()) {
        wait_for_events();
        if (deadline_ && Clock::now() >= *deadline_) kill_tree();
      }
      log_.write(flood_.rest());  // of what has outlived the leader
    }
    if (!arguments_.socket.empty()) unlink(arguments_.socket.c_str());
    report({Kind::kGone});
    return started ? 0 : 1;
  }

 private:
  void isolate() {
    const std::array ours{arguments_.control_fd, arguments_.status_fd, arguments_.listen_fd,
                          arguments_.output_fd};
    std::vector<int> kept = arguments_.kept_fds;
    kept.insert(kept.end(), ours.begin(), ours.end());
    close_files_except(kept);
    for (const int file : ours) {
      if (file >= 0) fcntl(file, F_SETFD, FD_CLOEXEC);
    }
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
  void report(const ShimStatus& status) { control_.tell(to_line(status)); }

  bool fail(const std::string& what) {
    report({Kind::kFailed, 0, what + ": " + std::strerror(errno)});
    return false;
  }

  // The engine inherits our stdin, stdout and stderr: both of these lead to us.
  bool redirect_output() {
    if (arguments_.output_fd >= 0) {
      log_.open_pipe(Descriptor(arguments_.output_fd));
    } else if (!log_.open(arguments_.log_file)) {
      return fail("cannot write the log file " + arguments_.log_file);
    }
    if (!arguments_.run.empty())
      log_.write(run_separator(arguments_.run, utc_text(std::time(nullptr))) + "\n");
    std::array<int, 2> output{};
    if (pipe2(output.data(), O_CLOEXEC) != 0) return fail("pipe");
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing < 0) return fail("cannot open /dev/null");
    fcntl(output[1], F_SETPIPE_SZ, kPipeBytes);
    fcntl(output[0], F_SETFL, O_NONBLOCK);
    output_ = output[0];
    dup2(nothing, STDIN_FILENO);
    dup2(output[1], STDOUT_FILENO);
    dup2(output[1], STDERR_FILENO);
    close(nothing);
    close(output[1]);
    return true;
  }

  // From then on the pipe ends with the last process of the tree.
  static void let_go_of_output() {
    const int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nothing, STDOUT_FILENO);
    dup2(nothing, STDERR_FILENO);
    close(nothing);
  }

  void keep(std::string_view bytes) {
    const std::string kept = flood_.pass(bytes, Clock::now());
    if (!kept.empty()) log_.write(kept);
  }

  // What the engine has written since. So much at a time that commands are heard in between.
  void take_output() {
    std::array<char, 64 * 1024> bytes;
    for (std::size_t taken = 0; taken < kMostAtOnce;) {
      const ssize_t count = read(output_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count == 0) output_ = -1;  // poll ignores it from now on
      if (count <= 0) return;
      keep({bytes.data(), static_cast<std::size_t>(count)});
      taken += static_cast<std::size_t>(count);
    }
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
    let_go_of_output();
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
        take_output();  // its last words are in the log before its end is told
        log_.write(flood_.rest());
        report(ended.si_code == CLD_EXITED ? ShimStatus{Kind::kExited, ended.si_status}
                                           : ShimStatus{Kind::kKilled, ended.si_status});
        kill_tree();
      }
      waitpid(ended.si_pid, nullptr, 0);
    }
  }

  void wait_for_events() {
    std::vector<pollfd> files{{child_events_, POLLIN, 0}, {output_, POLLIN, 0}};
    control_.add_to(files);
    poll(files.data(), files.size(), timeout_ms());
    signalfd_siginfo drained;
    while (read(child_events_, &drained, sizeof drained) > 0) {
    }
    if (files[1].revents != 0) take_output();
    if (const auto due = flood_.due(); due && Clock::now() >= *due) keep("");
    control_.serve([this](std::string_view order) { obey(order); });
  }

  int timeout_ms() const {
    const auto due = flood_.due();
    if (!deadline_ && !due) return -1;
    const auto next = std::min(deadline_.value_or(Clock::time_point::max()),
                               due.value_or(Clock::time_point::max()));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
    return static_cast<int>(std::max(left, kKillAgain).count());
  }

  void obey(std::string_view order) {
    constexpr std::string_view kWithGrace = "stop ";
    if (order == "stop") stop(arguments_.stop_timeout);
    if (order.starts_with(kWithGrace)) {
      double grace = arguments_.stop_timeout;
      parse_number(order.substr(kWithGrace.size()), grace);
      stop(grace);
    }
    if (order == "kill") kill_tree();
  }

  // SIGTERM goes to the leader alone: during vLLM's warm-up it would kill the leader's children in
  // a way that orphans theirs.
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
  ShimControl control_;
  int child_events_ = -1;
  int output_ = -1;  // of the engine
  LogFlood flood_;
  RotatingLog log_;
  pid_t leader_ = 0;  // 0 when it has ended
  std::optional<Clock::time_point> deadline_;
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
