// proxy/terminal/batch_hint.cc - see batch_hint.h.
#include "proxy/terminal/batch_hint.h"

#include <fmt/format.h>

namespace batchproxy {

namespace {
constexpr std::uint64_t kEnough = 20;  // batches before we say anything
}

std::optional<std::string> batch_hint(const BatchHistory& history) {
  if (history.batches < kEnough) return std::nullopt;
  const double average =
      static_cast<double>(history.prompts) / static_cast<double>(history.batches);
  if (average * 4 >= history.batch_size * 3.0) return std::nullopt;
  const std::string fill = fmt::format("hint: batches hold {:.1f} of {} prompts on average",
                                       average, history.batch_size);
  if (history.clients < history.batch_size) {
    return fmt::format(
        "{}: only {} clients call at once, so none can fill. Raise parallel_workers, lower "
        "batch_size to {}, or use `flush: eager`, which does not wait.",
        fill, history.clients, history.clients);
  }
  if (history.by_timeout * 2 > history.batches) {
    return fmt::format(
        "{}: most leave because batch_timeout ({} s) passes first. Raise batch_timeout, or use "
        "`flush: eager`, which does not wait.",
        fill, history.batch_timeout);
  }
  return fmt::format(
      "{}: clients' lists do not add up to it. Lower batch_size, or use `flush: eager`.", fill);
}

}  // namespace batchproxy
