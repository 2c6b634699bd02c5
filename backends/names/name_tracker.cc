// backends/names/name_tracker.cc - see name_tracker.h.
#include "backends/names/name_tracker.h"

#include <utility>

#include <boost/asio/error.hpp>

namespace batchproxy {

namespace {

constexpr Duration kPause = std::chrono::seconds(1);  // between look-ups while it does not work
constexpr Duration kReadyPause = std::chrono::seconds(10);

}  // namespace

std::optional<TimePoint> NameTracker::due() const {
  if (under_way_) return std::nullopt;
  if (hurried_ || !begun_) return TimePoint{};
  return *begun_ + (ready_ && !doubted_ ? kReadyPause : kPause);
}

void NameTracker::begin(TimePoint now) {
  begun_ = now;
  under_way_ = true;
  hurried_ = false;
  doubted_ = false;
}

bool NameTracker::take(const LookUp& answer) {
  under_way_ = false;
  news_.clear();
  const Addresses old_addresses = addresses_;
  const std::string old_problem = std::exchange(problem_, "");
  if (answer.error) {
    fail(answer.error);
  } else if (Addresses found = in_order(answer.found); !same_addresses(found, addresses_)) {
    move_to(std::move(found), !old_problem.empty());
  }
  return problem_ != old_problem || addresses_ != old_addresses;
}

void NameTracker::fail(const ErrorCode& error) {
  problem_ = describe_unresolved(name_, error);
  const bool is_gone = error == asio::error::host_not_found;
  if (ready_ || !is_gone || addresses_.empty()) return;
  news_ = "has no address any more: " + problem_ + " (was " + to_string(addresses_) + ")";
  addresses_.clear();
}

void NameTracker::move_to(Addresses next, bool was_missing) {
  if (same_addresses(next, last_known_)) {
    news_ = "is at " + to_string(next) + " again";
  } else if (!last_known_.empty() || was_missing) {
    const std::string before = last_known_.empty() ? "unknown" : to_string(last_known_);
    news_ = "is now at " + to_string(next) + " (was " + before + ")";
  }
  addresses_ = last_known_ = std::move(next);
}

}  // namespace batchproxy
