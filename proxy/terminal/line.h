// proxy/terminal/line.h - Line: one that is to be logged.
//
// Threading: plain values.
#pragma once

#include <string>
#include <vector>

#include <spdlog/common.h>

namespace batchproxy {

struct Line {
  spdlog::level::level_enum level = spdlog::level::info;
  std::string text;

  friend bool operator==(const Line&, const Line&) = default;
};
using Lines = std::vector<Line>;

}  // namespace batchproxy
