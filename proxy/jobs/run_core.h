// proxy/jobs/run_core.h - RunCore: which question of a job is asked next, and what its answer
// means.
//
// Sans-io. Questions wait in a window of bounded size, sorted by their beginnings, and are taken in
// that order like a lift moves: upwards to the end, then from the front. So questions about one
// passage reach the engines together, however the file mixes them.
//
// What may go better is asked again, later each time, `attempts` times in all. A proxy that cannot
// be reached costs no attempt: one question is tried now and then until it is back. Nor does one
// that is full or waits for its engines (429, 503); it gets fewer questions at a time, and then one
// more with each answer. Either may last for `patience`.
//
// Threading: confined to the driver's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "backends/questions/question_file.h"
#include "batcher/base/time.h"
#include "proxy/jobs/ledger.h"

namespace batchproxy {

struct RunLimits {
  std::size_t in_flight = 1024;
  std::size_t window = 4096;                         // questions
  std::size_t window_bytes = std::size_t{32} << 20;  // of their bodies
  int attempts = 5;                                  // for each question
  std::optional<std::int64_t> questions{};           // at most so many are asked
  Duration patience = std::chrono::minutes(10);      // while it is away or full
};

// A question on its way.
struct Ask {
  Question question{};
  int attempt = 1;
  std::optional<TimePoint> refused_since{};  // by a proxy that is full
};

// How an Ask ended.
struct ReplySeen {
  unsigned status = 0;  // 0: no answer
  bool lost = false;    // with 0: the request was on its way
  std::optional<Duration> retry_after{};
};

enum class AfterReply { kAnswered, kFailed, kAgain };

class RunCore {
 public:
  explicit RunCore(RunLimits limits);

  // Whether it is time to read on, and then until when.
  bool wants_questions() const;
  bool is_full() const;
  void add(Question question);
  void end_of_questions() { ended_ = true; }

  // The next one to send; nothing now.
  std::optional<Ask> next(TimePoint now);
  // When next() may have one without a further reply; nothing: only after one.
  std::optional<TimePoint> next_due() const;
  // Takes the Ask back for another try (kAgain), or says how it ended and leaves it as it is.
  AfterReply on_reply(Ask& ask, const ReplySeen& reply, TimePoint now);

  // An Ask will have no reply; its question still waits.
  void drop() { --in_flight_; }

  // Nothing more is asked; what is in flight may end.
  void stop() { stopped_ = true; }
  bool done() const;
  // The proxy has been away or full, and has answered nothing, for as long as the patience lasts.
  bool gives_up(TimePoint now) const;
  // Since when nobody takes connections there; nothing while somebody does.
  std::optional<TimePoint> away_since() const { return away_since_; }
  std::size_t in_flight() const { return in_flight_; }

 private:
  // A question whose beginning is known as a place in its body: most of the window's memory.
  struct Waiting {
    Question question;
    std::size_t begin;
    std::size_t size;

    std::string_view beginning() const {
      return std::string_view(question.body).substr(begin, size);
    }
  };
  struct ByBeginning {
    using is_transparent = void;
    bool operator()(const Waiting& a, const Waiting& b) const {
      return a.beginning() < b.beginning();
    }
    bool operator()(const Waiting& a, std::string_view b) const { return a.beginning() < b; }
    bool operator()(std::string_view a, const Waiting& b) const { return a < b.beginning(); }
  };

  bool has_room() const;
  std::optional<Ask> take(TimePoint now);
  void put_back(Ask ask, TimePoint due);
  AfterReply unreachable(Ask& ask, TimePoint now);
  AfterReply refused(Ask& ask, const ReplySeen& reply, TimePoint now);
  bool limit_reached() const { return limits_.questions && started_ >= *limits_.questions; }

  const RunLimits limits_;
  std::multiset<Waiting, ByBeginning> window_;
  std::multimap<TimePoint, Ask> later_;
  std::string position_;  // of the lift
  std::size_t bytes_ = 0;
  std::size_t in_flight_ = 0;
  std::int64_t started_ = 0;
  double room_;
  TimePoint narrowed_{};
  std::optional<TimePoint> away_since_;
  std::optional<TimePoint> useless_since_;  // away or full, without an answer
  TimePoint try_again_{};
  int tries_ = 0;
  bool ended_ = false;
  bool stopped_ = false;
};

// Seconds, as in Retry-After; nothing for anything else.
std::optional<Duration> retry_after_in(std::string_view value);

}  // namespace batchproxy
