// launcher/plan/executable.cc - the search that execvp would do, with an answer before the fork.
#include "launcher/plan/executable.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include <unistd.h>

namespace batchproxy {
namespace {

namespace fs = std::filesystem;

bool is_program(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0;
}

// By name: a path could also be read as the text of an error.
OrError<std::string> found(const fs::path& path) {
  return {boost::system::in_place_value, fs::absolute(path).lexically_normal().string()};
}

LaunchError missing(const std::string& name) {
  if (name.find('/') == std::string::npos) {
    return {"`" + name +
            "` was not found on PATH: activate its environment, set "
            "batchproxy.launcher.executable, or try --engine sim"};
  }
  std::error_code ignored;
  return {"`" + name + "` " + (fs::exists(name, ignored) ? "cannot be run" : "does not exist") +
          ": correct batchproxy.launcher.executable (or launcher.command), or try --engine sim"};
}

}  // namespace

OrError<std::string> find_executable(const std::string& name, const std::string& path) {
  if (name.find('/') != std::string::npos) {
    if (is_program(name)) return found(name);
    return missing(name);
  }
  std::string_view rest = path;
  while (!name.empty() && !rest.empty()) {
    const auto colon = rest.find(':');
    const fs::path directory(rest.substr(0, colon));
    rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    // POSIX reads an empty entry as the working directory; we do not run programs by accident.
    if (directory.empty() || !is_program(directory / name)) continue;
    return found(directory / name);
  }
  return missing(name);
}

std::vector<std::string> resolve_executables(std::vector<EnginePlan>& plans,
                                             const std::string& path) {
  std::vector<std::string> problems;
  for (EnginePlan& plan : plans) {
    auto program = find_executable(plan.argv.front(), path);
    if (program) {
      plan.argv.front() = std::move(*program);
    } else if (std::find(problems.begin(), problems.end(), program.error().text) ==
               problems.end()) {
      problems.push_back(program.error().text);
    }
  }
  return problems;
}

}  // namespace batchproxy
