// proxy/jobs/run/progress.cc - see progress.h.
#include "proxy/jobs/run/progress.h"

#include <chrono>

#include <fmt/format.h>

#include "configs/text/printable.h"

namespace batchproxy {

namespace {

std::string thousands(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

}  // namespace

std::string duration_words(Duration duration) {
  const auto all = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (all < 60) return fmt::format("{} s", all);
  if (all < 3600) return fmt::format("{} min {} s", all / 60, all % 60);
  return fmt::format("{} h {} min", all / 3600, all % 3600 / 60);
}

std::string progress_line(const LedgerCounts& counts, const RunTally& tally, Duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  const double rate =
      seconds > 0 ? static_cast<double>(tally.answered + tally.failed) / seconds : 0;
  std::string line =
      fmt::format("{} of {} answered", thousands(counts.answered), thousands(counts.all()));
  if (rate > 0) {
    line += fmt::format(
        " · {:.1f}/s · {} tokens/s", rate,
        thousands(static_cast<std::int64_t>(static_cast<double>(tally.tokens) / seconds)));
  }
  if (counts.failed > 0) line += fmt::format(" · {} failed", thousands(counts.failed));
  if (rate > 0 && counts.waiting > 0) {
    const std::chrono::duration<double> left(static_cast<double>(counts.waiting) / rate);
    line += " · " + duration_words(std::chrono::duration_cast<Duration>(left)) + " left";
  }
  return line;
}

std::string shares_of(const RunTally& tally) {
  std::int64_t all = 0;
  for (const auto& [name, count] : tally.by_backend) all += count;
  std::string text;
  for (const auto& [name, count] : tally.by_backend) {
    if (name.empty()) continue;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {} %", printable(name), (count * 100 + all / 2) / all);
  }
  return text;
}

}  // namespace batchproxy
