// bench/commands/exit_codes.h - how batchproxy-bench ends.
//
// Threading: constants.
#pragma once

namespace batchproxy::bench {

inline constexpr int kAllWell = 0;
inline constexpr int kFailed = 1;         // some were not answered, or a promise is broken
inline constexpr int kUsage = 2;          // a wrong flag, or a wrong line of a file of questions
inline constexpr int kMissed = 3;         // a --threshold
inline constexpr int kInterrupted = 130;  // by Ctrl-C, as shells say it

}  // namespace batchproxy::bench
