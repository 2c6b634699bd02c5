// backends/names/name_tracker.h - NameTracker: where does the name of a backend lead, and when is
// it to be looked up again? Decides from what look-ups and calls report.
//
// Sans-io. A working backend is not given up because its name cannot be looked up just now. Once it
// does not work and its name is gone, so are its addresses: they may be another server's by then.
//
// Threading: confined to the control thread.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "backends/names/addresses.h"

namespace batchproxy {

class NameTracker {
 public:
  explicit NameTracker(std::string name) : name_(std::move(name)) {}

  // Whether the backend is ready; at first it is not.
  void set_ready(bool ready) { ready_ = ready; }
  // The backend could not be reached: it may have moved.
  void doubt() { doubted_ = true; }
  // Look it up at once, however short a time ago that was done.
  void hurry() { hurried_ = true; }

  // When the next look-up is to begin; nothing while one is under way.
  std::optional<TimePoint> due() const;
  void begin(TimePoint now);
  // Ends the look-up. True when addresses() or problem() has changed.
  bool take(const LookUp& answer);

  const Addresses& addresses() const { return addresses_; }
  // Why it could not be looked up the last time, in words; else empty.
  const std::string& problem() const { return problem_; }
  // What the last take() has changed, to be said of the backend ("is now at ..."); empty when
  // nobody need be told.
  const std::string& news() const { return news_; }

 private:
  void fail(const ErrorCode& error);
  void move_to(Addresses next, bool was_missing);

  const std::string name_;
  Addresses addresses_;
  Addresses last_known_;  // like addresses_, but never empty again
  std::string problem_;
  std::string news_;
  bool ready_ = false;
  bool doubted_ = false;
  bool hurried_ = false;
  bool under_way_ = false;
  std::optional<TimePoint> begun_;  // the last one
};

}  // namespace batchproxy
