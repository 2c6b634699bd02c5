// proxy/terminal/summary.cc - see summary.h.
#include "proxy/terminal/summary.h"

#include <fmt/format.h>

#include "configs/text/figures.h"

namespace batchproxy {

namespace {

constexpr std::size_t kMostNamed = 16;  // engines that the line has a place for
constexpr std::size_t kTroubleNamed = 4;

// Of more engines: how many are fine, and some of those that are not.
std::string about_many(const Snapshot& now) {
  std::size_t troubled = 0;
  std::string names;
  for (const BackendSnapshot& backend : now.backends) {
    if (backend.condition == Condition::kFine || ++troubled > kTroubleNamed) continue;
    names += fmt::format(" {} ({})", backend.name, to_string(backend.condition));
  }
  if (troubled > kTroubleNamed) names += fmt::format(" and {} more", troubled - kTroubleNamed);
  return fmt::format("{} of {} engines fine{}", now.backends.size() - troubled, now.backends.size(),
                     names);
}

}  // namespace

std::string summary(const Snapshot& now, Period period) {
  const bool of_minute = period == Period::kMinute;
  const Rates& rates = of_minute ? now.last_60s : now.last_10s;
  std::string text =
      fmt::format("{} answers  {}/s  {} queued  {} in flight ", now.prompts_answered.get(),
                  short_number(rates.answered), now.queued.get(), now.inflight.get());
  if (now.backends.size() > kMostNamed) {
    text += " " + about_many(now);
  } else {
    for (const BackendSnapshot& backend : now.backends) {
      const BackendTrend& trend = backend.trend;
      text += fmt::format(" {} {}/s", backend.name,
                          short_number(of_minute ? trend.answers_60s : trend.answers_10s));
      if (backend.condition != Condition::kFine) {
        text += fmt::format(" ({})", to_string(backend.condition));
      }
    }
  }
  if (!now.waiting_for.empty()) text += "  waiting for " + now.waiting_for;
  return text;
}

}  // namespace batchproxy
