// bench/commands/files.cc - see files.h.
#include "bench/commands/files.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>

#include <fcntl.h>
#include <fmt/format.h>

#include "backends/net/descriptor.h"
#include "configs/text/printable.h"

namespace batchproxy::bench {

void write_file(const std::string& file, std::string_view text) {
  if (file == "-") {
    std::cout << text << std::flush;
    return;
  }
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.flush();
  if (out) return;
  throw std::runtime_error(
      fmt::format("{} cannot be written: {}", printable(file), std::strerror(errno)));
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
