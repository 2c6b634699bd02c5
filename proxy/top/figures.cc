// proxy/top/figures.cc - see figures.h.
#include "proxy/top/figures.h"

#include <cmath>
#include <cstdint>

#include <fmt/format.h>

namespace batchproxy {

std::string short_number(double value) {
  if (value < 0.005) return "0";
  if (value < 0.995) return fmt::format("{:.2f}", value);
  if (value < 9.95) return fmt::format("{:.1f}", value);
  if (value < 9999.5) return fmt::format("{:.0f}", value);
  if (value < 999.5e3) return fmt::format("{:.0f}k", value / 1e3);
  return value < 9.95e6 ? fmt::format("{:.1f}M", value / 1e6) : fmt::format("{:.0f}M", value / 1e6);
}

std::string short_time(double seconds) {
  if (seconds < 0.0005) return "0 s";
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  if (seconds < 99.5) return fmt::format("{:.0f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(std::round(seconds));
  const std::uint64_t minutes = whole / 60, hours = minutes / 60;
  if (hours == 0) return fmt::format("{}:{:02}", minutes, whole % 60);
  if (hours < 48) return fmt::format("{}:{:02}:{:02}", hours, minutes % 60, whole % 60);
  return fmt::format("{} d {:02} h", hours / 24, hours % 24);
}

std::string percent(double share) {
  return fmt::format("{:.0f}%", share * 100);
}

}  // namespace batchproxy
