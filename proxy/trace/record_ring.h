// proxy/trace/record_ring.h - RecordRing: the records of the requests of one I/O thread that ended
// last, and of the requests that failed before those.
//
// Threading: confined to its I/O thread, except written().
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "batcher/base/count.h"
#include "proxy/trace/request_record.h"

namespace batchproxy {

class RecordRing {
 public:
  static constexpr std::size_t kSize = 2048;
  // Under load the ring is written over within seconds, and whoever asks what has failed comes
  // later.
  static constexpr std::size_t kFailures = 256;

  explicit RecordRing(std::size_t size = kSize) : size_(size) { records_.reserve(size); }

  // For the next record, which replaces the oldest when the ring is full.
  RequestRecord& next() {
    const std::size_t at = written_.get() % size_;
    written_.add();
    if (at == records_.size()) return records_.emplace_back();
    if (records_[at].has_failed()) keep(records_[at]);
    // In its place, and not copied there; texts are not zeroed first, as construct_at() would.
    std::destroy_at(&records_[at]);
    return *::new (&records_[at]) RequestRecord;
  }

  // So many there have been. Threading: any thread.
  std::uint64_t written() const { return written_.get(); }
  // The first that is still there.
  std::uint64_t oldest() const { return written() - records_.size(); }
  // `number`: from oldest() up to, but not, written().
  const RequestRecord& operator[](std::uint64_t number) const { return records_[number % size_]; }
  // That failed, and are not in the ring any more; in no order.
  const std::vector<RequestRecord>& failures() const { return failures_; }

 private:
  void keep(const RequestRecord& failed) {
    if (failures_.size() < kFailures) {
      failures_.push_back(failed);
    } else {
      failures_[kept_ % kFailures] = failed;
    }
    ++kept_;
  }

  const std::size_t size_;
  std::vector<RequestRecord> records_;  // never more than was reserved
  std::vector<RequestRecord> failures_;
  std::uint64_t kept_ = 0;  // of failures, ever
  Count written_;
};

}  // namespace batchproxy
