// proxy/jobs/run/progress.h - how far a run has come, as a line for people.
//
// Threading: confined to the run's thread. Only draw() and clear_line() write, to stderr.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "batcher/base/time.h"
#include "proxy/jobs/ledger.h"

namespace batchproxy {

// What this run itself has seen.
struct RunTally {
  std::int64_t answered = 0;
  std::int64_t failed = 0;
  std::int64_t tokens = 0;  // of prompts and answers
  std::map<std::string, std::int64_t> by_backend{};
};

// How fast it goes, by the samples of the last minute.
class Pace {
 public:
  struct Left {
    Duration time{};
    Duration spread{};  // in two of three cases it is over within `time` ± this
  };

  // `done` by now, in all.
  void sample(TimePoint now, std::int64_t done);
  // For `waiting` more; nothing before there are enough samples, or while nothing gets done.
  std::optional<Left> left(std::int64_t waiting) const;

 private:
  struct Sample {
    TimePoint at;
    std::int64_t done;
  };
  std::deque<Sample> samples_;
};

class RunProgress {
 public:
  // `counts`: of the whole job, as it is found.
  void begin(const LedgerCounts& counts) { counts_ = counts; }
  void start(TimePoint now) { started_ = now; }
  void add(const std::vector<ItemOutcome>& outcomes);
  void sample(TimePoint now) { pace_.sample(now, tally_.answered + tally_.failed); }

  const LedgerCounts& counts() const { return counts_; }
  const RunTally& tally() const { return tally_; }

  // "1,200 of 5,000 answered · 41.3/s · 12,300 tokens/s · 3 failed · 1 min 32 s ± 5 s left".
  std::string line(TimePoint now) const;
  // " · gpu1:8000 51 %, gpu2:8000 49 %"; "" where nobody was named.
  std::string shares() const;
  // What the run has done, when it is over.
  std::string summary(TimePoint now) const;

  // With a bar, in at most `width` columns: what matters least is cut off.
  std::string picture(TimePoint now, int width) const;
  // That, in the place of the one before; clear_line() makes room for others.
  void draw(TimePoint now);
  void clear_line();

 private:
  LedgerCounts counts_;
  RunTally tally_;
  Pace pace_;
  TimePoint started_{};
  bool drawn_ = false;
};

// "45 s", "3 min 20 s", "10 min", "2 h 5 min".
std::string duration_words(Duration duration);
// "12,300".
std::string with_commas(std::int64_t number);

}  // namespace batchproxy
