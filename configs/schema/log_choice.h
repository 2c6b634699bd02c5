// configs/schema/log_choice.h - LogChoice: which requests the access log has a line for, as the key
// `which` says.
//
// Threading: values, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "configs/text/number.h"

namespace batchproxy {

struct LogChoice {
  enum class Kind : std::uint8_t {
    kAll,
    kSlow,    // slow ones, and those that failed
    kFailed,  // those that failed
    kShare,   // so many of a hundred, by chance
  };
  Kind kind = Kind::kAll;
  double percent = 100;
};

// Nothing when `which` is neither a word nor a percentage.
inline std::optional<LogChoice> read_log_choice(std::string_view which) {
  if (which == "all") return LogChoice{};
  if (which == "slow") return LogChoice{LogChoice::Kind::kSlow, 100};
  if (which == "failed") return LogChoice{LogChoice::Kind::kFailed, 100};
  if (!which.ends_with('%')) return std::nullopt;
  const auto percent = number_in<double>(which.substr(0, which.size() - 1));
  if (!percent || !(*percent >= 0 && *percent <= 100)) return std::nullopt;
  return LogChoice{LogChoice::Kind::kShare, *percent};
}

}  // namespace batchproxy
