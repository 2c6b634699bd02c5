// launcher/memory/learned/state_file.cc - a lock file beside it, a new file, a rename.
#include "launcher/memory/learned/state_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/net/descriptor.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostBytes = 16 << 20;

std::string failure(const std::string& what, const std::string& path) {
  return what + " " + path + ": " + std::strerror(errno);
}

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// Behind a crash the old file or the new one is there, and nothing between.
std::string replace(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";  // one writer at a time: the lock is held
  const Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.get() < 0) return failure("cannot write", fresh);
  if (!write_all(file.get(), text) || ::fsync(file.get()) != 0) {
    return failure("cannot write", fresh);
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return failure("cannot replace", path);
  return "";
}

}  // namespace

StateText read_state_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return {};
    return {"", failure("cannot read", path)};
  }
  StateText read;
  char buffer[16384];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return {"", failure("cannot read", path)};
    if (count == 0) return read;
    read.text.append(buffer, static_cast<std::size_t>(count));
    if (read.text.size() > kMostBytes) return {"", path + " is too large to be ours"};
  }
}

std::string change_state_file(
    const std::string& path,
    const std::function<std::optional<std::string>(std::string_view)>& change) {
  std::error_code error;
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty()) fs::create_directories(folder, error);
  if (error) return "cannot make " + folder.string() + ": " + error.message();
  const std::string lock_path = path + ".lock";
  const Descriptor lock(::open(lock_path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() < 0) return failure("cannot write", lock_path);
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return failure("cannot lock", lock_path);
  }
  StateText before = read_state_file(path);
  std::string warning;
  auto after = before.problem.empty() ? change(before.text) : std::nullopt;
  if (!after) {
    const std::string aside = path + ".broken";
    if (::rename(path.c_str(), aside.c_str()) != 0) return failure("cannot set aside", path);
    warning = path + " cannot be used" +
              (before.problem.empty() ? "" : " (" + before.problem + ")") +
              ": it is set aside as " + aside;
    after = change("");
  }
  if (!after) return warning;
  const std::string problem = replace(path, *after);
  return problem.empty() || warning.empty() ? warning + problem : warning + "; " + problem;
}

}  // namespace batchproxy
