// proxy/trace/record_ring.h - RecordRing: the records of the requests of one I/O thread that ended
// last.
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

  explicit RecordRing(std::size_t size = kSize) : size_(size) { records_.reserve(size); }

  // For the next record, which replaces the oldest when the ring is full.
  RequestRecord& next() {
    const std::size_t at = written_.get() % size_;
    written_.add();
    if (at == records_.size()) return records_.emplace_back();
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

 private:
  const std::size_t size_;
  std::vector<RequestRecord> records_;  // never more than was reserved
  Count written_;
};

}  // namespace batchproxy
