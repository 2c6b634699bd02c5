// bench/load/machine.cc - see machine.h.
#include "bench/load/machine.h"

#include <ctime>
#include <fstream>
#include <string_view>
#include <thread>

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "configs/text/trim.h"

namespace batchproxy::bench {

namespace {

// What stands behind the colon of the first line that begins so.
std::string line_of(const char* file, std::string_view begin) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(begin)) continue;
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos)
      return std::string(trim(std::string_view(line).substr(colon + 1)));
  }
  return "";
}

}  // namespace

std::string machine_words() {
  std::string cpu = line_of("/proc/cpuinfo", "model name");
  utsname system{};
  ::uname(&system);
  if (cpu.empty()) cpu = system.machine;
  const double pages = static_cast<double>(::sysconf(_SC_PHYS_PAGES));
  const double gib = pages * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 30);
  return fmt::format("{}, {} cores, {:.0f} GiB, {} {}", cpu, std::thread::hardware_concurrency(),
                     gib, system.sysname, system.release);
}

std::string utc_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{:04}{:02}{:02}-{:02}{:02}{:02}", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace batchproxy::bench
