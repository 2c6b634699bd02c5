// proxy/trace/request_trace.h - RequestTrace: what is noted of a request while it is being
// answered, until it becomes a RequestRecord.
//
// It is small, as it lives for as long as its request waits, and an attempt that ends well costs no
// allocation.
//
// Threading: confined to one I/O thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proxy/trace/request_record.h"

namespace batchproxy {

class RequestTrace {
 public:
  // --- what it asks ---
  const std::string* model = nullptr;
  std::uint32_t prompts = 0;
  bool streaming = false;

  // --- what it is answered ---
  std::uint16_t status = 0;
  std::optional<Errc> error;
  std::uint64_t sent = 0;  // bytes
  bool replayed = false;
  TimePoint first_byte{};  // if that was not when it ended
  void refuse(Errc code);

  // --- how it goes ---
  void add(const AttemptRecord& attempt);
  void end(Finish how, TimePoint when);

  // Into `record`, which is new.
  void fill(RequestRecord& record, const ClientRequest& request) const;

 private:
  std::uint32_t attempts_ = 0;
  TimePoint granted_{};                // for the first time
  std::optional<AttemptRecord> good_;  // the last one that ended well
  std::vector<AttemptRecord> failed_;
  Finish finish_ = Finish::kClientGone;
  TimePoint ended_{};
};

}  // namespace batchproxy
