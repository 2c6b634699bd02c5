// launcher/process/run_separator.h - the line with which each run of an engine begins in its log.
//
//   === batchproxy: engine-0, run 3, 2026-11-29T14:33:18Z ===
//
// A log file holds several runs; who reads it for the reason of a death reads the last one.
//
// Threading: pure functions, any thread.
#pragma once

#include <array>
#include <ctime>
#include <string>
#include <string_view>

namespace batchproxy {

inline constexpr std::string_view kRunSeparatorBegin = "=== batchproxy: ";
inline constexpr std::string_view kRunSeparatorEnd = " ===";

// "engine-0, run 3"
inline std::string run_name(std::string_view engine, int run) {
  return std::string(engine) + ", run " + std::to_string(run);
}

// Without a newline. `utc` is the moment, as "2026-11-29T14:33:18Z".
inline std::string run_separator(std::string_view run, std::string_view utc) {
  return std::string(kRunSeparatorBegin) + std::string(run) + ", " + std::string(utc) +
         std::string(kRunSeparatorEnd);
}

// "2026-11-29T14:33:18Z"
inline std::string utc_text(std::time_t moment) {
  std::tm utc{};
  ::gmtime_r(&moment, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text.data();
}

// "engine-0, run 3, 2026-11-29T14:33:18Z", or nothing for any other line. A view into `line`.
inline std::string_view run_in(std::string_view line) {
  const std::size_t around = kRunSeparatorBegin.size() + kRunSeparatorEnd.size();
  if (line.size() <= around || !line.starts_with(kRunSeparatorBegin) ||
      !line.ends_with(kRunSeparatorEnd)) {
    return {};
  }
  return line.substr(kRunSeparatorBegin.size(), line.size() - around);
}

}  // namespace batchproxy
