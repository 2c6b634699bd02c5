// launcher/process/kept_engine.cc - see kept_engine.h.
#include "launcher/process/kept_engine.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <system_error>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace batchproxy {

namespace {

namespace fs = std::filesystem;

constexpr int kBacklog = 8;
constexpr int kPatience = 1;  // seconds
constexpr std::string_view kEnding = ".sock";
constexpr std::string_view kGreeting = "kept ";

// The address of `name` in the directory behind `folder`, by a path that is short enough for a
// socket however long the directory's own is.
sockaddr_un address_of(const Descriptor& folder, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + name;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

LaunchError failure(const std::string& what, const std::string& path) {
  return {"cannot " + what + " " + path + ": " + std::strerror(errno)};
}

Descriptor open_folder(const std::string& directory) {
  return Descriptor(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

// Byte by byte: what follows is for the launcher.
std::string read_line(int socket) {
  std::string line;
  for (char byte = 0; line.size() < 256 && ::recv(socket, &byte, 1, 0) == 1;) {
    if (byte == '\n') return line;
    line += byte;
  }
  return {};
}

std::optional<KeptEngine> ask(const std::string& directory, const std::string& engine) {
  auto connection = connect_to_shim(directory, engine);
  if (!connection) return std::nullopt;
  const timeval patience{kPatience, 0};
  ::setsockopt(connection->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string line = read_line(connection->get());
  if (!line.starts_with(kGreeting)) return std::nullopt;
  KeptEngine found;
  found.name = engine;
  std::istringstream words(line.substr(kGreeting.size()));
  if (!(words >> found.identity >> found.port)) return std::nullopt;
  found.connection = *std::move(connection);
  return found;
}

}  // namespace

std::string kept_socket(const std::string& directory, const std::string& engine) {
  return directory + "/" + engine + std::string(kEnding);
}

std::string kept_greeting(const std::string& identity, int port) {
  return std::string(kGreeting) + identity + " " + std::to_string(port);
}

std::vector<KeptEngine> find_kept_engines(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    if (entry.path().extension() == kEnding) names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  std::vector<KeptEngine> found;
  for (const std::string& name : names) {
    if (auto engine = ask(directory, name)) found.push_back(*std::move(engine));
  }
  return found;
}

OrError<Descriptor> listen_for_launchers(const std::string& directory, const std::string& engine) {
  const Descriptor folder = open_folder(directory);
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const std::string path = kept_socket(directory, engine);
  if (folder.get() < 0 || socket.get() < 0) return failure("listen at", path);
  ::unlink(path.c_str());
  const sockaddr_un address = address_of(folder, engine + std::string(kEnding));
  // Set before the file is there: nobody else ever gets to it.
  const mode_t before = ::umask(0177);
  const int bound = ::bind(socket.get(), generic(address), sizeof address);
  ::umask(before);
  if (bound != 0 || ::listen(socket.get(), kBacklog) != 0) return failure("listen at", path);
  return socket;
}

OrError<Descriptor> connect_to_shim(const std::string& directory, const std::string& engine) {
  const Descriptor folder = open_folder(directory);
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(folder, engine + std::string(kEnding));
  if (folder.get() < 0 || socket.get() < 0 ||
      ::connect(socket.get(), generic(address), sizeof address) != 0) {
    return failure("connect to", kept_socket(directory, engine));
  }
  return socket;
}

}  // namespace batchproxy
