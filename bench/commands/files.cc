// bench/commands/files.cc - see files.h.
#include "bench/commands/files.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "backends/net/descriptor.h"
#include "configs/text/printable.h"

namespace batchproxy::bench {

namespace {

[[noreturn]] void refuse(const std::string& file, int error) {
  throw std::runtime_error(
      fmt::format("{} cannot be written: {}", printable(file), std::strerror(error)));
}

}  // namespace

void write_file(const std::string& file, std::string_view text) {
  if (file == "-") {
    std::cout << text << std::flush;
    return;
  }
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.flush();
  if (!out) refuse(file, errno);
}

void check_writable(const std::string& file) {
  if (file.empty() || file == "-") return;
  std::error_code unknown;
  const std::filesystem::path path(file);
  if (std::filesystem::is_directory(path, unknown)) refuse(file, EISDIR);
  if (::access(file.c_str(), W_OK) == 0) return;
  if (errno != ENOENT) refuse(file, errno);
  // It is made in its folder. A link that leads nowhere is seen when it is written.
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (::access(folder.c_str(), W_OK | X_OK) != 0) refuse(file, errno);
}

void write_private_file(const std::string& file, std::string_view text) {
  if (file != "-") {
    const Descriptor made(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  }
  write_file(file, text);
}

std::string read_file(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.is_open() && !in.bad()) return text;
  throw std::runtime_error(
      fmt::format("{} cannot be read: {}", printable(file), std::strerror(errno)));
}

}  // namespace batchproxy::bench
