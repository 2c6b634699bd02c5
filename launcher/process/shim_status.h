// launcher/process/shim_status.h - the lines that a shim writes about its engine.
//
//   kept ID PORT       how it was started; first, from the shim of an engine that is kept
//   pid 123            the engine runs
//   exec-failed 2      it could not be started: errno of execve
//   failed TEXT        it could not be started for another reason
//   exited code 1      it ended by itself or after SIGTERM
//   killed signal 9    it was killed
//   gone               no process of its tree is left; always the last line
//
// Threading: pure functions over values.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

struct ShimStatus {
  enum class Kind { kPid, kExecFailed, kFailed, kExited, kKilled, kGone };

  Kind kind;
  int number = 0;      // pid, errno, exit code or signal
  std::string text{};  // of kFailed

  friend bool operator==(const ShimStatus&, const ShimStatus&) = default;
};

// With its newline.
std::string to_line(const ShimStatus& status);

// `line` without its newline; nothing for a line that is not ours.
std::optional<ShimStatus> parse_shim_status(std::string_view line);

// For people: "exit code 1", "killed by SIGKILL", "could not be started: No such file or
// directory".
std::string describe(const ShimStatus& status);

}  // namespace batchproxy
