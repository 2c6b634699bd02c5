// proxy/admin/metrics.cc - see metrics.h.
#include "proxy/admin/metrics.h"

#include <algorithm>

namespace batchproxy {

void LatencyHistogram::observe(Duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  buckets_[static_cast<std::size_t>(bound - kBounds.begin())].add();
  sum_us_.add(static_cast<std::uint64_t>(seconds * 1e6));
}

}  // namespace batchproxy
