// launcher/base/finding.h - one line of what `batchproxy doctor` and `check`, or a start, have
// found.
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
  // No later try mends it, so that a start ends by it.
  bool is_hopeless = false;
};

inline Finding ok(std::string text) {
  return {{}, CheckVerdict::kOk, std::move(text), {}, false};
}
inline Finding warning(std::string text, std::string fix) {
  return {{}, CheckVerdict::kWarning, std::move(text), std::move(fix), false};
}
inline Finding failure(std::string text, std::string fix) {
  return {{}, CheckVerdict::kFailure, std::move(text), std::move(fix), false};
}
inline Finding hopeless(std::string text, std::string fix) {
  return {{}, CheckVerdict::kFailure, std::move(text), std::move(fix), true};
}

// Both as one sentence.
inline std::string sentence_of(const Finding& finding) {
  return finding.fix.empty() ? finding.text : finding.text + ": " + finding.fix;
}

}  // namespace batchproxy
