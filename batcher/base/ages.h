// batcher/base/ages.h - Ages: since when the oldest of many things is there, to half a second.
//
// Each thing counts in the slot of its beginning, so that coming and going cost the same however
// many there are. Things older than all slots together (34 minutes) share slots with young ones;
// then the oldest may be told as older than it is, until both have gone.
//
// Memory: 16 KiB, once something is added.
//
// Threading: confined to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "batcher/base/time.h"

namespace batchproxy {

class Ages {
 public:
  static constexpr Duration kSlot = std::chrono::milliseconds(500);
  static constexpr std::size_t kSlots = 4096;

  void add(TimePoint since);
  // One that was added with the same time.
  void remove(TimePoint since);

  std::size_t count() const { return count_; }
  // When the oldest began; nothing when there is none.
  std::optional<TimePoint> oldest();

 private:
  using Slot = std::int64_t;  // since the clock's beginning
  std::uint32_t& at(Slot slot) { return counts_[static_cast<std::size_t>(slot) % kSlots]; }

  std::vector<std::uint32_t> counts_;
  std::size_t count_ = 0;
  Slot first_ = 0;  // none is in an earlier one
  Slot last_ = 0;   // nor in a later one
};

}  // namespace batchproxy
