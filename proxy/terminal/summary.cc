// proxy/terminal/summary.cc - see summary.h.
#include "proxy/terminal/summary.h"

#include <fmt/format.h>

#include "configs/text/figures.h"

namespace batchproxy {

std::string summary(const Snapshot& now, Period period) {
  const bool of_minute = period == Period::kMinute;
  const Rates& rates = of_minute ? now.last_60s : now.last_10s;
  std::string text =
      fmt::format("{} answers  {}/s  {} queued  {} in flight ", now.prompts_answered.get(),
                  short_number(rates.answered), now.queued.get(), now.inflight.get());
  for (const BackendSnapshot& backend : now.backends) {
    const BackendTrend& trend = backend.trend;
    text += fmt::format(" {} {}/s", backend.name,
                        short_number(of_minute ? trend.answers_60s : trend.answers_10s));
    if (backend.condition != Condition::kFine) {
      text += fmt::format(" ({})", to_string(backend.condition));
    }
  }
  if (!now.waiting_for.empty()) text += "  waiting for " + now.waiting_for;
  return text;
}

}  // namespace batchproxy
