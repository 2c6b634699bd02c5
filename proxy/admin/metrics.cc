// proxy/admin/metrics.cc - see metrics.h.
#include "proxy/admin/metrics.h"

#include <algorithm>

namespace batchproxy {

std::string_view to_string(Finish finish) {
  switch (finish) {
    case Finish::kOk:
      return "ok";
    case Finish::kClientError:
      return "client_error";
    case Finish::kBackendError:
      return "backend_error";
    case Finish::kShed:
      return "shed";
    case Finish::kTimeout:
      return "timeout";
    case Finish::kClientGone:
      return "client_gone";
  }
  return "unknown";
}

Finish finish_of(Errc code) {
  switch (code) {
    case Errc::kBadHttp:
    case Errc::kUnsupportedVersion:
    case Errc::kUriTooLong:
    case Errc::kHeadTooLarge:
    case Errc::kExpectationFailed:
    case Errc::kBodyTooLarge:
    case Errc::kRequestTimeout:
    case Errc::kInvalidApiKey:
    case Errc::kInvalidJson:
    case Errc::kInvalidRequest:
    case Errc::kTooManyPrompts:
    case Errc::kUnknownRoute:
    case Errc::kMethodNotAllowed:
    case Errc::kUnknownModel:
    case Errc::kKnownPoison:
      return Finish::kClientError;
    case Errc::kQueueFull:
    case Errc::kOverloaded:
    case Errc::kNoBackend:
    case Errc::kCancelled:
    case Errc::kRetryBudget:
    case Errc::kShuttingDown:
      return Finish::kShed;
    case Errc::kQueueTimeout:
    case Errc::kBackendTimeout:
      return Finish::kTimeout;
    case Errc::kInternal:
    case Errc::kBackendLost:
    case Errc::kBadBackendResponse:
    case Errc::kChoiceCountMismatch:
    case Errc::kPoisonPrompt:
      return Finish::kBackendError;
  }
  return Finish::kBackendError;
}

Finish finish_of_status(unsigned status) {
  if (status < 400) return Finish::kOk;
  return status < 500 ? Finish::kClientError : Finish::kBackendError;
}

void LatencyHistogram::observe(Duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  buckets_[static_cast<std::size_t>(bound - kBounds.begin())].add();
  sum_us_.add(static_cast<std::uint64_t>(seconds * 1e6));
}

}  // namespace batchproxy
