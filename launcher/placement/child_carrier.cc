// launcher/placement/child_carrier.cc - fork, pipes, and a descriptor that tells of the child's
// end.
#include "launcher/placement/child_carrier.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/net/descriptor.h"
#include "launcher/plan/command_line.h"
#include "launcher/plan/executable.h"
#include "launcher/process/group_guard.h"

namespace batchproxy {
namespace {

namespace asio = boost::asio;

// Between SIGTERM and SIGKILL.
constexpr std::chrono::seconds kGrace{5};
// Where the kernel has no descriptor for a process (before 5.3).
constexpr std::chrono::milliseconds kLookAgain{100};
constexpr std::size_t kLongestLine = 4096;

std::vector<char*> c_pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct ChildFiles {
  Descriptor our_input, its_input;
  Descriptor our_output, its_output;
  Descriptor our_error, its_error;  // errno, if it could not become the program

  bool open() {
    return pair(its_input, our_input) && pair(our_output, its_output) && pair(our_error, its_error);
  }

 private:
  static bool pair(Descriptor& read_end, Descriptor& write_end) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    read_end = Descriptor(ends[0]);
    write_end = Descriptor(ends[1]);
    return true;
  }
};

// A connection that it holds open would not end when we do, and its agent would not hear of that.
void keep_nothing_of_ours() {
  constexpr unsigned kFirst = STDERR_FILENO + 1;
#ifdef SYS_close_range
  constexpr unsigned kCloseOnExec = 4;  // CLOSE_RANGE_CLOEXEC, from Linux 5.11 on
  if (::syscall(SYS_close_range, kFirst, ~0U, kCloseOnExec) == 0) return;
#endif
  constexpr int kMost = 65536;
  for (int file = kFirst; file < kMost; ++file) ::fcntl(file, F_SETFD, FD_CLOEXEC);
}

// In the child: only what is safe behind a fork.
[[noreturn]] void become(char* const* argv, char* const* variables, const ChildFiles& files,
                         pid_t parent, int guard) {
  ::setsid();
  GuardNote{::getpid()}.write(guard);  // before it can have children
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);  // it died before it could be told
  ::dup2(files.its_input.get(), STDIN_FILENO);
  ::dup2(files.its_output.get(), STDOUT_FILENO);
  ::dup2(files.its_output.get(), STDERR_FILENO);
  keep_nothing_of_ours();
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(argv[0], argv, variables);
  const int error = errno;
  [[maybe_unused]] const auto told = ::write(files.its_error.get(), &error, sizeof error);
  ::_exit(127);
}

std::string signal_text(int number) {
  const char* name = ::sigabbrev_np(number);
  return name != nullptr ? std::string("SIG") + name : fmt::format("signal {}", number);
}

class ChildCarrier final : public Carrier {
 public:
  ChildCarrier(asio::io_context& io, CarrierCommand command, Hooks hooks)
      : state_(std::make_shared<State>(io, std::move(hooks))) {
    state_->name = std::filesystem::path(command.argv.front()).filename().string();
    state_->node = command.node;
    state_->if_done_early = command.if_done_early;
    const std::string problem = state_->start(std::move(command));
    if (problem.empty()) return;
    asio::post(io, [state = state_, problem] { state->tell_end(problem); });
  }

  ~ChildCarrier() override {
    state_->hooks = {};
    state_->terminate();
  }

  std::string condition() const override {
    return state_->pid > 0 ? fmt::format("{} still runs (pid {})", state_->name, state_->pid) : "";
  }
  std::string node() const override { return state_->node; }
  std::string advice() const override { return state_->is_good ? state_->if_done_early : ""; }
  void cancel() override { state_->terminate(); }
  void kill() override { state_->send(SIGKILL); }

 private:
  // Outlives its carrier until the child has ended and is reaped.
  struct State : std::enable_shared_from_this<State> {
    State(asio::io_context& io, Hooks its_hooks)
        : hooks(std::move(its_hooks)), output(io), process(io), look_timer(io), kill_timer(io) {}

    // Returns why it could not be started.
    std::string start(CarrierCommand command) {
      const auto path = command.environment.find("PATH");
      const auto program = find_executable(command.argv.front(),
                                           path == command.environment.end() ? "" : path->second);
      if (!program)
        return fmt::format("`{}` was not found, or cannot be run", command.argv.front());
      command.argv.front() = *program;
      std::vector<std::string> variables;
      for (const auto& [its_name, value] : command.environment) {
        variables.push_back(its_name + "=" + value);
      }
      const std::vector<char*> argv = c_pointers(command.argv);
      const std::vector<char*> environment = c_pointers(variables);
      ChildFiles files;
      if (!files.open()) return std::string("no pipe for it: ") + std::strerror(errno);
      const pid_t parent = ::getpid();
      pid = ::fork();
      guard = command.guard;
      if (pid == 0) become(argv.data(), environment.data(), files, parent, guard);
      if (pid < 0) return fmt::format("cannot start {}: {}", name, std::strerror(errno));
      if (const int error = error_of(files); error != 0) {
        GuardNote{pid, 0}.write(guard);
        ::waitpid(pid, nullptr, 0);
        pid = 0;
        return fmt::format("cannot start {}: {}", command.argv.front(), std::strerror(error));
      }
      // A pipe holds so much at once, and while we have its other end nobody is missed there.
      [[maybe_unused]] const auto written =
          ::write(files.our_input.get(), command.input.data(), command.input.size());
      files.its_input.close();
      files.its_output.close();
      ::fcntl(files.our_output.get(), F_SETFL, O_NONBLOCK);
      output.assign(files.our_output.release());
      read();
      watch();
      return {};
    }

    static int error_of(ChildFiles& files) {
      files.its_error.close();
      int error = 0;
      const bool failed = ::read(files.our_error.get(), &error, sizeof error) == sizeof error;
      return failed ? error : 0;
    }

    void read() {
      output.async_read_some(asio::buffer(buffer),
                             [self = shared_from_this()](const auto& error, std::size_t count) {
                               if (error) return;
                               self->take({self->buffer.data(), count});
                               self->read();
                             });
    }

    void take(std::string_view bytes) {
      unread += bytes;
      for (auto end = unread.find('\n'); end != std::string::npos; end = unread.find('\n')) {
        tell_line(unread.substr(0, end));
        unread.erase(0, end + 1);
      }
      if (unread.size() > kLongestLine) tell_line(std::exchange(unread, {}));
    }

    void tell_line(std::string line) {
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
      if (line.empty()) return;
      last_line = line;
      const auto told = hooks.on_line;
      if (told) told(line);
    }

    // Its end, and not that of its output, which what it has left behind may hold open.
    void watch() {
      const int descriptor = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
      if (descriptor < 0) return look_later();
      process.assign(descriptor);
      process.async_wait(asio::posix::stream_descriptor::wait_read,
                         [self = shared_from_this()](const auto& error) {
                           if (!error) self->look();
                         });
    }

    void look_later() {
      look_timer.expires_after(kLookAgain);
      look_timer.async_wait([self = shared_from_this()](const auto& error) {
        if (!error) self->look();
      });
    }

    void look() {
      int status = 0;
      if (::waitpid(pid, &status, WNOHANG) == 0) return look_later();
      GuardNote{pid, 0}.write(guard);
      pid = 0;
      kill_timer.cancel();
      is_good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
      take_rest();
      const std::string how = WIFEXITED(status)
                                  ? fmt::format("ended with exit code {}", WEXITSTATUS(status))
                                  : "was killed by " + signal_text(WTERMSIG(status));
      tell_end(fmt::format("{} {}{}", name, how, last_line.empty() ? "" : ": " + last_line));
    }

    // What it wrote just before.
    void take_rest() {
      boost::system::error_code ignored;
      output.cancel(ignored);
      for (;;) {
        const ssize_t count = ::read(output.native_handle(), buffer.data(), buffer.size());
        if (count <= 0) break;
        take({buffer.data(), static_cast<std::size_t>(count)});
      }
      output.close(ignored);
      if (!unread.empty()) tell_line(std::exchange(unread, {}));
    }

    void tell_end(const std::string& how) {
      const auto told = std::exchange(hooks.on_ended, nullptr);
      if (told) told(how);
    }

    void send(int signal) const {
      if (pid > 0) ::kill(-pid, signal);
    }

    void terminate() {
      if (pid <= 0 || std::exchange(is_terminated, true)) return;
      send(SIGTERM);
      send(SIGCONT);  // a stopped process handles no signal
      kill_timer.expires_after(kGrace);
      kill_timer.async_wait([self = shared_from_this()](const auto& error) {
        if (!error) self->send(SIGKILL);
      });
    }

    Hooks hooks;
    std::string name;  // of the program, for people
    std::string node;
    asio::posix::stream_descriptor output;
    asio::posix::stream_descriptor process;
    asio::steady_timer look_timer;
    asio::steady_timer kill_timer;
    pid_t pid = 0;  // 0: it has ended
    int guard = -1;
    bool is_terminated = false;
    bool is_good = false;  // it has ended, with exit code 0
    std::string if_done_early;
    std::array<char, 4096> buffer;
    std::string unread;
    std::string last_line;
  };

  std::shared_ptr<State> state_;
};

}  // namespace

std::unique_ptr<Carrier> start_carrier(asio::io_context& io, CarrierCommand command,
                                       Carrier::Hooks hooks) {
  return std::make_unique<ChildCarrier>(io, std::move(command), std::move(hooks));
}

CarrierCommand carrier_command(std::vector<std::string> argv, Environment environment,
                               const AgentCall& call) {
  // No keys of ours, and nothing of our own service manager.
  for (const std::string& name : engine_environment({}, "", environment).unset) {
    environment.erase(name);
  }
  environment[kAgentTokenVariable] = call.token;
  return {std::move(argv), std::move(environment), call.token + "\n"};
}

}  // namespace batchproxy
