// launcher/base/machine.cc - see machine.h.
#include "launcher/base/machine.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backends/child/program_output.h"
#include "backends/net/port_holder.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;

std::optional<DiskSpace> real_space(const fs::path& path) {
  struct statvfs found{};
  if (::statvfs(path.c_str(), &found) != 0) return std::nullopt;
  return DiskSpace{found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize};
}

DescriptorLimit real_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return {limit.rlim_cur, limit.rlim_max};
}

// A listener that is there would refuse us; one in TIME_WAIT would not, nor does it an engine.
bool real_port_is_free(int port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return true;
  const int on = 1;
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_free =
      ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::listen(descriptor, 1) == 0;
  ::close(descriptor);
  return is_free;
}

bool is_program(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

fs::path Machine::at(std::string_view path) const {
  return root / fs::path(path).relative_path();
}

std::optional<std::string> Machine::read(std::string_view path, std::size_t most) const {
  std::error_code ignored;
  const fs::path file = at(path);
  if (fs::is_directory(file, ignored)) return std::nullopt;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return std::nullopt;
  // In pieces, since files of /proc do not tell their size.
  std::string text;
  std::array<char, 16 << 10> piece;
  while (text.size() < most && stream) {
    const std::size_t wanted = std::min(piece.size(), most - text.size());
    stream.read(piece.data(), static_cast<std::streamsize>(wanted));
    text.append(piece.data(), static_cast<std::size_t>(stream.gcount()));
  }
  return text;
}

std::vector<std::string> Machine::names_in(std::string_view path) const {
  std::vector<std::string> names;
  std::error_code problem;
  for (fs::directory_iterator entry(at(path), problem), end; !problem && entry != end;
       entry.increment(problem)) {
    names.push_back(entry->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

bool Machine::exists(std::string_view path) const {
  std::error_code ignored;
  return fs::exists(at(path), ignored);
}

std::optional<std::uint64_t> Machine::size_of(std::string_view path) const {
  std::error_code problem;
  const auto size = fs::file_size(at(path), problem);
  return problem ? std::nullopt : std::optional<std::uint64_t>(size);
}

std::string Machine::variable(const std::string& name) const {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

std::string Machine::absolute(const std::string& path) const {
  return (fs::path(working_directory) / path).lexically_normal().string();
}

std::string Machine::find_program(const std::string& name) const {
  if (name.find('/') != std::string::npos) {
    const std::string path = absolute(name);
    return is_program(at(path)) ? path : "";
  }
  const std::string searched = variable("PATH");
  std::string_view rest = searched;
  while (!name.empty() && !rest.empty()) {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    const fs::path path = fs::path(rest.substr(0, colon)) / name;
    if (colon > 0 && is_program(at(path.string()))) return path.string();
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  return "";
}

namespace {

constexpr std::size_t kEnough = 4096;  // bytes of a process's files

// Whether a command line, its words ended by zeros, is `vllm preload …`, however vllm was found.
bool keeps_weights(std::string_view words) {
  using namespace std::string_view_literals;
  const std::size_t at = words.find("vllm\0preload\0"sv);
  return at != words.npos && (at == 0 || words[at - 1] == '/' || words[at - 1] == '\0');
}

// The daemon of each GPU is a child of that command, under Python's own name.
std::string command_of_parent(const Machine& machine, const std::string& folder) {
  const std::string status = machine.read(folder + "/status", kEnough).value_or("");
  constexpr std::string_view kParent = "\nPPid:\t";
  const std::size_t at = status.find(kParent);
  if (at == status.npos) return "";
  const std::size_t from = at + kParent.size();
  const std::string parent = status.substr(from, status.find('\n', from) - from);
  return machine.read("/proc/" + parent + "/cmdline", kEnough).value_or("");
}

}  // namespace

std::string Machine::process_name(unsigned pid) const {
  const std::string folder = "/proc/" + std::to_string(pid);
  const std::string words = read(folder + "/cmdline", kEnough).value_or("");
  if (keeps_weights(words) || keeps_weights(command_of_parent(*this, folder))) {
    return std::string(kWeightKeeper);
  }
  const std::string program = words.substr(0, words.find('\0'));
  if (!program.empty()) return fs::path(program).filename().string();
  std::string name = read(folder + "/comm", kEnough).value_or("");
  while (name.ends_with('\n')) name.pop_back();
  return name;
}

std::optional<DiskSpace> Machine::space_for(const std::string& path) const {
  fs::path folder = absolute(path);
  while (!exists(folder.string()) && folder.has_relative_path()) folder = folder.parent_path();
  return space_at ? space_at(at(folder.string())) : std::nullopt;
}

Machine this_machine(Environment environment) {
  Machine machine;
  machine.environment = std::move(environment);
  std::error_code problem;
  const fs::path here = fs::current_path(problem);
  if (!problem) machine.working_directory = here.string();
  machine.space_at = real_space;
  machine.descriptors = real_descriptors;
  machine.is_port_free = real_port_is_free;
  machine.port_holder = [](int port) { return port_holder(static_cast<std::uint16_t>(port)); };
  machine.output_of = program_output;
  return machine;
}

}  // namespace batchproxy
