// proxy/trace/request_record.h - RequestRecord: what is remembered of a request once it has ended.
// Never its prompts, its answer or a key.
//
// It has a fixed size and owns nothing: a ring of them is written over without an allocation. Of
// texts and attempts only what there is gets written, as each request leaves one.
//
// Threading: values, any thread. Names and ids in it last as long as the I/O threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <boost/container/static_vector.hpp>

#include "backends/call/call_failure.h"
#include "batcher/base/error.h"
#include "batcher/base/finish.h"
#include "batcher/base/time.h"
#include "proxy/wire/client_request.h"

namespace batchproxy {

// Text of at most `n` bytes; of a longer one the beginning is kept.
template <std::size_t n>
class ShortText {
 public:
  void set(std::string_view text) {
    size_ = static_cast<std::uint8_t>(std::min(text.size(), n));
    std::memcpy(bytes_.data(), text.data(), size_);
  }
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  static_assert(n < 256);
  std::uint8_t size_ = 0;
  std::array<char, n> bytes_;
};

// One try to have a request answered, and how it ended.
struct AttemptRecord {
  bool is_good() const { return failure == CallFailure::kNone && status < 400; }

  const std::string* backend = nullptr;  // its name
  TimePoint granted{};                   // by the lane
  TimePoint ended{};                     // of one that is not good
  std::uint64_t batch = 0;
  std::uint32_t batch_prompts = 0;
  CallFailure failure = CallFailure::kNone;
  std::uint16_t status = 0;   // of the answer, if failure is kNone
  bool went_down = false;     // its engine had ended
  bool beside = false;        // begun while another stood still
  std::uint32_t members = 1;  // of the call that answered it: more than one share it
  RequestId leader{};         // of these, the one that made the call
};

struct RequestRecord {
  static constexpr std::size_t kAttempts = 4;  // that are kept

  // Of what ended before it had a route, and what nothing was heard of.
  bool is_routed() const { return route != nullptr; }
  bool has_failed() const { return finish != Finish::kOk; }
  Duration total() const { return ended - arrival; }
  // Until a backend had room for it; nothing if none ever had.
  std::optional<Duration> queued() const;
  bool is_called(std::string_view id) const;  // by us, or by its client

  RequestId id;
  const Route* route = nullptr;
  const std::string* model = nullptr;
  TimePoint arrival{};     // of its last byte
  TimePoint granted{};     // for the first time; zero: never
  TimePoint first_byte{};  // of its answer to its client; zero: none was sent
  TimePoint ended{};
  std::uint64_t bytes_in = 0;   // of its body
  std::uint64_t bytes_out = 0;  // that were written to its client
  std::uint32_t prompts = 0;
  std::uint32_t attempts_made = 0;
  std::uint16_t status = 0;  // that the client was answered with; 0: it was not
  Finish finish = Finish::kClientGone;
  std::optional<Errc> error;  // of ours, that the client was told
  bool head_only = false;
  bool streaming = false;   // asked for
  bool background = false;  // of a batch
  bool replayed = false;    // answered from the record of its job
  bool traced = false;      // the next two are set
  std::uint64_t span = 0;
  ShortText<55> traceparent;                                           // the client's
  ShortText<128> given_id;                                             // the client's own
  ShortText<40> key;                                                   // the name of its API key
  boost::container::static_vector<AttemptRecord, kAttempts> attempts;  // failed ones, then others
};

// The span of an attempt of a request that is traced.
inline std::uint64_t span_of(const AttemptRecord& attempt, const RequestRecord& record) {
  return attempt_span(record.span, attempt.granted, attempt.batch);
}

inline std::optional<Duration> RequestRecord::queued() const {
  if (granted == TimePoint{}) return std::nullopt;
  return granted - arrival;
}

inline bool RequestRecord::is_called(std::string_view name) const {
  return given_id.view() == name || id.text() == name;
}

}  // namespace batchproxy
