// proxy/otlp/export_core.h - ExportCore: which records are sent to a collector next, when, and what
// follows from its answer.
//
//   add ─▶ waiting ─▶ next_batch ─▶ on_answer ─▶ taken: gone, and counted
//                       ▲              ├────▶ not now: again after a pause, for a minute at most
//                       └──────────────┘     else: dropped, and counted
//
// What waits is bounded: beyond that, new records are dropped, and counted.
//
// Sans-io: SpanExporter waits, sends and tells it the time.
//
// Threading: confined to one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "proxy/trace/request_record.h"

namespace batchproxy {

class ExportCore {
 public:
  static constexpr std::size_t kMostWaiting = 8192;  // records: about 6 MB
  static constexpr std::size_t kMostAtOnce = 256;
  static constexpr Duration kDelay = std::chrono::seconds(1);  // for others to come along
  static constexpr Duration kFirstPause = std::chrono::seconds(1);
  static constexpr Duration kLongestPause = std::chrono::seconds(30);
  static constexpr Duration kLongestAskedFor = std::chrono::minutes(5);
  static constexpr Duration kPatience = std::chrono::minutes(1);  // with one batch

  // What came of a batch: `status` 0, there was no answer.
  struct Answer {
    bool is_taken() const { return status / 100 == 2; }
    bool may_come_again() const;

    unsigned status = 0;
    std::optional<Duration> wait{};  // that it asks for
  };

  void add(std::vector<RequestRecord> records, TimePoint now);
  // Records that were written over before they could be taken.
  void add_lost(std::uint64_t count) { dropped_ += count; }

  // When the next batch is to be sent; nothing while there is none.
  std::optional<TimePoint> due() const;
  // The oldest that wait, for sending; on_answer() follows.
  std::vector<RequestRecord> next_batch();
  void on_answer(const Answer& answer, TimePoint now);

  // It is the end: what is left goes at once, and what is not taken then is dropped.
  void hurry() { hurries_ = true; }
  // Nobody is to be sent anything any more.
  void drop_all();

  std::size_t waiting() const { return waiting_.size(); }
  std::uint64_t sent() const { return sent_; }        // records, taken by the collector
  std::uint64_t dropped() const { return dropped_; }  // records

 private:
  struct Waiting {
    RequestRecord record;
    TimePoint since;
  };

  void end_batch();

  std::deque<Waiting> waiting_;
  std::size_t sending_ = 0;                 // of them, from the front
  std::optional<TimePoint> failing_since_;  // of the batch at the front
  TimePoint not_before_{};
  Duration pause_{};
  bool hurries_ = false;
  std::uint64_t sent_ = 0;
  std::uint64_t dropped_ = 0;
};

// The wait that `Retry-After` asks for, in seconds; nothing for a date, or none.
std::optional<Duration> read_retry_after(std::string_view value);
// Of the answer of a collector that has taken a batch: what it says about spans that it refused;
// empty if it took them all.
std::string refused_part(std::string_view body);

}  // namespace batchproxy
