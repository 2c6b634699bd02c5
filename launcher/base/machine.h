// launcher/base/machine.h - what is looked at of the machine around us, behind one small struct: a
// test puts a folder in place of /, and functions in place of what is no file.
//
// Paths are absolute, as programs of the machine see them; `root` stands before each.
//
// Threading: plain values and functions without state; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "configs/sources/environment.h"

namespace batchproxy {

// Of one file system, in bytes; `free` is what we may still write.
struct DiskSpace {
  std::uint64_t total = 0;
  std::uint64_t free = 0;
};

struct DescriptorLimit {
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
};

// vLLM's daemon that keeps a model's weights on a GPU for the engines that come and go.
inline constexpr std::string_view kWeightKeeper = "vllm preload";

struct Machine {
  std::filesystem::path root = "/";
  Environment environment{};
  std::string working_directory = "/";
  std::function<std::optional<DiskSpace>(const std::filesystem::path&)> space_at{};
  std::function<DescriptorLimit()> descriptors{};
  std::function<bool(int port)> is_port_free{};        // on 127.0.0.1
  std::function<std::string(int port)> port_holder{};  // "python3 (pid 12)"; "" when not known
  std::function<std::optional<std::string>(const std::vector<std::string>& argv,
                                           std::chrono::seconds most)>
      output_of{};  // see program_output.h

  std::filesystem::path at(std::string_view path) const;

  // The file's text, at most its first `most` bytes; nothing when it cannot be read.
  std::optional<std::string> read(std::string_view path, std::size_t most = 1 << 20) const;
  // Names in a directory, sorted; none when there is no such directory.
  std::vector<std::string> names_in(std::string_view path) const;
  bool exists(std::string_view path) const;
  // In bytes; nothing when it is no file.
  std::optional<std::uint64_t> size_of(std::string_view path) const;

  // The value of a variable; empty when it is not set.
  std::string variable(const std::string& name) const;
  // The path of a program as execvp would find it, "" when there is none. One with a slash is
  // relative to the working directory.
  std::string find_program(const std::string& name) const;
  // `path` made absolute by the working directory.
  std::string absolute(const std::string& path) const;
  // The program that a process runs, "" when that cannot be known; kWeightKeeper for such.
  std::string process_name(unsigned pid) const;
  // Of the file system that holds `path`, or that its nearest ancestor is on.
  std::optional<DiskSpace> space_for(const std::string& path) const;
};

// The machine that we run on.
Machine this_machine(Environment environment);

}  // namespace batchproxy
