// launcher/base/finding.h - one line of what `batchproxy doctor` and `check` have found.
//
// Threading: plain values.
#pragma once

#include <string>
#include <utility>

namespace batchproxy {

enum class CheckVerdict {
  kOk,
  kWarning,  // engines may start, and may be slow or fail later
  kFailure,  // engines will not start
};

struct Finding {
  std::string name{};  // of the check; filled in by examine()
  CheckVerdict verdict = CheckVerdict::kOk;
  std::string text;   // what is so
  std::string fix{};  // what to do about it; empty for kOk
};

inline Finding ok(std::string text) {
  return {{}, CheckVerdict::kOk, std::move(text), {}};
}
inline Finding warning(std::string text, std::string fix) {
  return {{}, CheckVerdict::kWarning, std::move(text), std::move(fix)};
}
inline Finding failure(std::string text, std::string fix) {
  return {{}, CheckVerdict::kFailure, std::move(text), std::move(fix)};
}

}  // namespace batchproxy
