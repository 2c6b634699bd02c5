// launcher/process/engine_logs.cc - open() and flock(), and what to say when they fail.
#include "launcher/process/engine_logs.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace batchproxy {
namespace {

namespace fs = std::filesystem;

constexpr int kMostProxies = 100;  // that write below one directory

LaunchError refusal(const std::string& what, const std::string& path, int error) {
  return {"cannot " + what + " " + path + ": " + std::strerror(error) +
          ". Name another directory in batchproxy.launcher.log_directory"};
}

std::string log_file(const std::string& directory, const EnginePlan& plan) {
  return directory + "/" + plan.name + ".log";
}

// All of them, or nothing when somebody else has one.
using Files = std::optional<std::vector<Descriptor>>;

OrError<Files> open_all(const std::string& directory, const std::vector<EnginePlan>& plans) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return refusal("make the directory", directory, error.value());
  std::vector<Descriptor> files;
  for (const EnginePlan& plan : plans) {
    // Its engine has it, and its lock.
    if (plan.runs_already) {
      files.emplace_back();
      continue;
    }
    const std::string path = log_file(directory, plan);
    constexpr int kHow = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;
    Descriptor file(::open(path.c_str(), kHow, 0644));
    if (file.get() < 0) return refusal("write the log file", path, errno);
    // Where files cannot be locked at all we have to believe that nobody else is there.
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return Files();
    files.push_back(std::move(file));
  }
  return Files(std::move(files));
}

}  // namespace

OrError<EngineLogs> EngineLogs::open(const std::string& directory, std::vector<EnginePlan>& plans) {
  std::string chosen = directory;
  for (int number = 2; number <= kMostProxies; ++number) {
    auto files = open_all(chosen, plans);
    if (!files) return files.error();
    if (*files) {
      EngineLogs logs;
      logs.files_ = **std::move(files);
      for (std::size_t i = 0; i < plans.size(); ++i) {
        plans[i].log_file = log_file(chosen, plans[i]);
        plans[i].log_descriptor = logs.files_[i].get();
      }
      return logs;
    }
    chosen = directory + "/proxy-" + std::to_string(number);
  }
  return LaunchError{"the log files in " + directory +
                     " are all in use; name another directory in "
                     "batchproxy.launcher.log_directory"};
}

std::string EngineLogs::problem(const std::string& directory,
                                const std::vector<EnginePlan>& plans) {
  std::error_code ignored;
  fs::path existing = fs::absolute(directory, ignored);
  while (!fs::exists(existing, ignored) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  if (!fs::is_directory(existing, ignored)) {
    return refusal("make the directory", directory, ENOTDIR).text;
  }
  if (::access(existing.c_str(), W_OK | X_OK) != 0) {
    return refusal("write to the directory", existing.string(), errno).text;
  }
  for (const EnginePlan& plan : plans) {
    const std::string path = log_file(directory, plan);
    if (fs::exists(path, ignored) && ::access(path.c_str(), W_OK) != 0) {
      return refusal("write the log file", path, errno).text;
    }
  }
  return "";
}

}  // namespace batchproxy
