// launcher/agent/refusals.cc - see refusals.h.
#include "launcher/agent/refusals.h"

#include <utility>

#include <fmt/format.h>

namespace batchproxy {

std::string Refusals::tell(const std::string& who, const std::string& why, TimePoint now) {
  const auto known = reasons_.find(why);
  if (known != reasons_.end() && now - known->second.told < kPause) {
    ++known->second.untold;
    return {};
  }
  std::size_t others = 0;
  if (known != reasons_.end()) {
    others = std::exchange(known->second, Reason{now, 0}).untold;
  } else {
    if (reasons_.size() >= kMostReasons) reasons_.clear();
    reasons_.emplace(why, Reason{now, 0});
  }
  const std::string more =
      others == 0 ? "" : fmt::format(", and {} more of the same kind before", others);
  return fmt::format("refused an agent {}{}: {}", who, more, why);
}

}  // namespace batchproxy
