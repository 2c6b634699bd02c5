// backends/net/port_holder.cc - see port_holder.h.
#include "backends/net/port_holder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace batchproxy {

namespace {

namespace fs = std::filesystem;

// The sockets in a table of the kernel's (proc(5), /proc/net/tcp) that listen on `port`.
void add_listeners(const fs::path& table, std::uint16_t port, std::set<std::string>& inodes) {
  constexpr std::string_view kListen = "0A";
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);  // its heading
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, state, queues, timer, retransmits, user, timeout, inode;
    fields >> number >> local >> remote >> state >> queues >> timer >> retransmits >> user >>
        timeout >> inode;
    const std::size_t colon = local.rfind(':');
    if (!fields || state != kListen || colon == std::string::npos) continue;
    if (std::strtoul(local.c_str() + colon + 1, nullptr, 16) == port) {
      inodes.insert("socket:[" + inode + "]");
    }
  }
}

bool holds_one(const fs::path& process, const std::set<std::string>& inodes) {
  std::error_code ignored;
  for (fs::directory_iterator fd(process / "fd", ignored), end; !ignored && fd != end;
       fd.increment(ignored)) {
    std::error_code unreadable;
    if (inodes.contains(fs::read_symlink(fd->path(), unreadable).string())) return true;
  }
  return false;
}

}  // namespace

std::string port_holder(std::uint16_t port, const std::string& root) {
  std::set<std::string> inodes;
  add_listeners(fs::path(root) / "net" / "tcp", port, inodes);
  add_listeners(fs::path(root) / "net" / "tcp6", port, inodes);
  if (inodes.empty()) return {};
  std::error_code ignored;
  for (fs::directory_iterator process(root, ignored), end; !ignored && process != end;
       process.increment(ignored)) {
    const std::string pid = process->path().filename().string();
    if (!std::all_of(pid.begin(), pid.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (!holds_one(process->path(), inodes)) continue;
    std::string name;
    std::ifstream comm(process->path() / "comm");
    std::getline(comm, name);
    return (name.empty() ? "a process" : name) + " (pid " + pid + ")";
  }
  return {};
}

}  // namespace batchproxy
