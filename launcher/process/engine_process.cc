// launcher/process/engine_process.cc - spawning a shim and reading its status lines.
#include "launcher/process/engine_process.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/net/descriptor.h"
#include "launcher/process/kept_engine.h"
#include "launcher/process/shim_status.h"

namespace batchproxy {
namespace {

namespace asio = boost::asio;

// A shim that has closed its status pipe is a few instructions from its end.
constexpr std::chrono::milliseconds kReapAgain{2};

// Both pairs are close-on-exec, so that no other child of ours holds an engine's control end open.
struct Channels {
  Descriptor our_control, shim_control;
  Descriptor our_status, shim_status;

  bool open() {
    std::array<int, 2> control{};
    // A socket rather than a pipe: writing to a dead shim is an error then, not a signal.
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control.data()) != 0) return false;
    our_control = Descriptor(control[0]);
    shim_control = Descriptor(control[1]);
    std::array<int, 2> status{};
    if (pipe2(status.data(), O_CLOEXEC) != 0) return false;
    our_status = Descriptor(status[0]);
    shim_status = Descriptor(status[1]);
    return true;
  }
};

// posix_spawn's two options objects, with the child's signals as a fresh process has them.
class SpawnOptions {
 public:
  SpawnOptions() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  SpawnOptions(const SpawnOptions&) = delete;
  SpawnOptions& operator=(const SpawnOptions&) = delete;
  ~SpawnOptions() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  // Onto itself: that only clears close-on-exec, in the child alone.
  void pass(int descriptor) { posix_spawn_file_actions_adddup2(&actions_, descriptor, descriptor); }

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

std::vector<char*> c_pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct ShimFiles {
  std::vector<std::string> words;  // for its command line
  std::vector<int> descriptors;    // that it inherits
};

// Returns errno, or 0.
int spawn_shim(const EngineCommand& command, const ShimFiles& files, pid_t& pid) {
  std::vector<std::string> argv{command.shim_executable, "engine-shim"};
  argv.insert(argv.end(), files.words.begin(), files.words.end());
  argv.insert(argv.end(), {"--stop-timeout", std::to_string(command.stop_timeout.count())});
  if (command.output >= 0) {
    argv.insert(argv.end(), {"--output-fd", std::to_string(command.output)});
  } else {
    argv.insert(argv.end(), {"--log", command.log_file});
  }
  for (const int held : command.held) {
    argv.insert(argv.end(), {"--keep-fd", std::to_string(held)});
  }
  if (!command.run.empty()) argv.insert(argv.end(), {"--run", command.run});
  argv.push_back("--");
  argv.insert(argv.end(), command.argv.begin(), command.argv.end());
  std::vector<std::string> variables;
  for (const auto& [name, value] : command.environment) variables.push_back(name + "=" + value);
  SpawnOptions options;
  for (const int descriptor : files.descriptors) options.pass(descriptor);
  for (const int held : command.held) options.pass(held);
  if (command.output >= 0) options.pass(command.output);
  return posix_spawn(&pid, command.shim_executable.c_str(), options.actions(), options.attributes(),
                     c_pointers(argv).data(), c_pointers(variables).data());
}

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

Environment changed_environment(Environment inherited, const EnvironmentChanges& changes) {
  for (const std::string& name : changes.unset) inherited.erase(name);
  for (const auto& [name, value] : changes.set) inherited[name] = value;
  return inherited;
}

// Outlives its EngineProcess until the shim has ended and is reaped.
struct EngineProcess::State : std::enable_shared_from_this<State> {
  State(const asio::any_io_executor& executor, EngineHooks its_hooks)
      : hooks(std::move(its_hooks)), status(executor), reap_timer(executor) {}

  std::optional<std::string> start(const EngineCommand& command) {
    return command.keep_as.empty() ? start_ours(command) : start_kept(command);
  }

  std::optional<std::string> start_ours(const EngineCommand& command) {
    Channels channels;
    if (!channels.open()) return std::string("no pipe for its shim: ") + std::strerror(errno);
    const ShimFiles files{{"--control-fd", std::to_string(channels.shim_control.get()),
                           "--status-fd", std::to_string(channels.shim_status.get())},
                          {channels.shim_control.get(), channels.shim_status.get()}};
    if (const int error = spawn_shim(command, files, shim); error != 0) {
      return "cannot start its shim " + command.shim_executable + ": " + std::strerror(error);
    }
    control = std::move(channels.our_control);
    status.assign(channels.our_status.release());
    read_status();
    return std::nullopt;
  }

  std::optional<std::string> start_kept(const EngineCommand& command) {
    const std::string directory = directory_of(command.log_file);
    const auto listener = listen_for_launchers(directory, command.keep_as);
    if (!listener) return listener.error().text;
    const ShimFiles files{{"--listen-fd", std::to_string(listener->get()), "--socket",
                           kept_socket(directory, command.keep_as), "--greeting", command.greeting},
                          {listener->get()}};
    if (const int error = spawn_shim(command, files, shim); error != 0) {
      return "cannot start its shim " + command.shim_executable + ": " + std::strerror(error);
    }
    auto connection = connect_to_shim(directory, command.keep_as);
    if (!connection) return connection.error().text;
    talk_over(*std::move(connection));
    return std::nullopt;
  }

  // Orders and status lines by one socket.
  void talk_over(Descriptor connection) {
    status.assign(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
    control = std::move(connection);
    read_status();
  }

  void send(std::string_view text) const {
    // A shim that is gone has nothing left to stop.
    if (control.get() >= 0) ::send(control.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }

  void read_status() {
    status.async_read_some(asio::buffer(buffer),
                           [self = shared_from_this()](const auto& error, std::size_t count) {
                             if (error) return self->on_shim_ended();
                             self->on_status_bytes({self->buffer.data(), count});
                             self->read_status();
                           });
  }

  void on_status_bytes(std::string_view bytes) {
    unread += bytes;
    for (auto end = unread.find('\n'); end != std::string::npos; end = unread.find('\n')) {
      const auto line = parse_shim_status(std::string_view(unread).substr(0, end));
      unread.erase(0, end + 1);
      if (line) on_status(*line);
    }
  }

  void on_status(const ShimStatus& line) {
    if (line.kind == ShimStatus::Kind::kGone) return;  // the end of the pipe follows
    if (line.kind == ShimStatus::Kind::kPid) {
      engine = line.number;
      return call(hooks.on_started, engine);
    }
    engine = 0;
    exited = true;
    const bool has_code = line.kind == ShimStatus::Kind::kExited;
    call(hooks.on_exited,
         EngineEnd{describe(line), has_code ? std::optional(line.number) : std::nullopt});
  }

  void on_shim_ended() {
    // One that we have taken over is not our child.
    if (shim > 0 && waitpid(shim, nullptr, WNOHANG) == 0) {
      reap_timer.expires_after(kReapAgain);
      reap_timer.async_wait([self = shared_from_this()](const auto&) { self->on_shim_ended(); });
      return;
    }
    control.close();
    if (!exited) {
      // Somebody killed the shim. The kernel then kills the engine itself; its group is ours to do.
      if (engine > 0) ::kill(-engine, SIGKILL);
      exited = true;
      call(hooks.on_exited, EngineEnd{"its supervising shim process was killed"});
    }
    call(hooks.on_gone);
  }

  // By value: a hook may destroy the EngineProcess, and with it the hooks.
  template <class Hook, class... Values>
  static void call(Hook hook, const Values&... values) {
    if (hook) hook(values...);
  }

  EngineHooks hooks;
  asio::posix::stream_descriptor status;
  asio::steady_timer reap_timer;
  Descriptor control;
  pid_t shim = 0;
  pid_t engine = 0;
  bool exited = false;
  std::array<char, 512> buffer;
  std::string unread;
};

EngineProcess::EngineProcess(asio::any_io_executor executor, EngineHooks hooks)
    : state_(std::make_shared<State>(executor, std::move(hooks))) {}

EngineProcess::~EngineProcess() {
  state_->hooks = {};
  state_->control.close();
}

std::optional<std::string> EngineProcess::start(const EngineCommand& command) {
  return state_->start(command);
}

void EngineProcess::adopt(Descriptor connection) {
  state_->talk_over(std::move(connection));
}

void EngineProcess::stop(std::optional<Seconds> grace) {
  state_->send(grace ? "stop " + std::to_string(grace->count()) + "\n" : "stop\n");
}

void EngineProcess::kill() {
  state_->send("kill\n");
}

}  // namespace batchproxy
