// launcher/process/shim_status.cc - the words of the shim's status lines.
#include "launcher/process/shim_status.h"

#include <array>
#include <charconv>
#include <csignal>
#include <cstring>

namespace batchproxy {
namespace {

struct Word {
  ShimStatus::Kind kind;
  std::string_view text;
};
constexpr std::array kWithNumber{Word{ShimStatus::Kind::kPid, "pid "},
                                 Word{ShimStatus::Kind::kExecFailed, "exec-failed "},
                                 Word{ShimStatus::Kind::kExited, "exited code "},
                                 Word{ShimStatus::Kind::kKilled, "killed signal "}};
constexpr std::string_view kFailed = "failed ";
constexpr std::string_view kGone = "gone";

std::string signal_name(int number) {
  const char* name = sigabbrev_np(number);
  return name ? std::string("SIG") + name : "signal " + std::to_string(number);
}

}  // namespace

std::string to_line(const ShimStatus& status) {
  if (status.kind == ShimStatus::Kind::kGone) return std::string(kGone) + "\n";
  if (status.kind == ShimStatus::Kind::kFailed) return std::string(kFailed) + status.text + "\n";
  std::string line;
  for (const Word& word : kWithNumber) {
    if (word.kind == status.kind) line = word.text;
  }
  return line + std::to_string(status.number) + "\n";
}

std::optional<ShimStatus> parse_shim_status(std::string_view line) {
  if (line == kGone) return ShimStatus{ShimStatus::Kind::kGone};
  if (line.substr(0, kFailed.size()) == kFailed) {
    return ShimStatus{ShimStatus::Kind::kFailed, 0, std::string(line.substr(kFailed.size()))};
  }
  for (const Word& word : kWithNumber) {
    if (line.substr(0, word.text.size()) != word.text) continue;
    const std::string_view digits = line.substr(word.text.size());
    ShimStatus status{word.kind};
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), status.number);
    if (error == std::errc() && end == digits.data() + digits.size()) return status;
  }
  return std::nullopt;
}

std::string describe(const ShimStatus& status) {
  switch (status.kind) {
    case ShimStatus::Kind::kPid:
      return "running as process " + std::to_string(status.number);
    case ShimStatus::Kind::kExecFailed:
      return std::string("could not be started: ") + std::strerror(status.number);
    case ShimStatus::Kind::kFailed:
      return "could not be started: " + status.text;
    case ShimStatus::Kind::kExited:
      return "exit code " + std::to_string(status.number);
    case ShimStatus::Kind::kKilled:
      return "killed by " + signal_name(status.number);
    case ShimStatus::Kind::kGone:
      return "gone";
  }
  return {};
}

}  // namespace batchproxy
