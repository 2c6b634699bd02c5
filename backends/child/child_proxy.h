// backends/child/child_proxy.h - ChildProxy: a batchproxy of our own, for as long as a job or a
// measurement runs.
//
// It listens on ports that the kernel chooses, appends its log to a file, and ends when this
// process does, however it does. It has a process group of its own: Ctrl-C in a terminal is for us,
// who still want the answers in flight.
//
// Threading: confined to the thread that made it, which must outlive it.
#pragma once

#include <ios>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace batchproxy {

class ChildProxy {
 public:
  // `flags` are those of a serving batchproxy. Throws std::runtime_error.
  ChildProxy(const std::string& program, const std::vector<std::string>& flags, std::string log);
  // Takes it down: its engines end first.
  ~ChildProxy();
  ChildProxy(const ChildProxy&) = delete;
  ChildProxy& operator=(const ChildProxy&) = delete;

  // "http://127.0.0.1:…" once it listens.
  std::optional<std::string> url() const { return told("  listening "); }
  // Its admin address, likewise.
  std::optional<std::string> admin() const { return told("  admin "); }
  // Why it has ended, with the last lines of its log; nothing while it runs.
  std::optional<std::string> ended();

 private:
  enum class Part { kFirst, kLast };
  std::string text(Part part) const;
  // The URL of a host that stands behind `word` in what it says first.
  std::optional<std::string> told(std::string_view word) const;

  const std::string log_;
  std::streamoff begin_ = 0;  // of what this one says
  pid_t pid_ = -1;
  std::optional<int> status_;
};

}  // namespace batchproxy
