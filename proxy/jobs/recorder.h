// proxy/jobs/recorder.h - Recorder: answers a recorded request that was answered before, and lets
// equal ones wait for one.
//
//   find ──▶ answered before ─────────────────────▶ tell(the answer)
//        ──▶ nobody asks the same now ────────────▶ tell(null): ask a backend, then finish()
//        ──▶ one asks the same: wait for its end ─▶ tell(its answer), or tell(null) to the next
//
// An answer is written after it was told, with all others that came meanwhile in one go. What has
// not been written when the process dies is asked for again. A disk that cannot be written costs
// the record and never the answer; the log says so, at most once a minute.
//
// Memory: answers that are not written yet; they leave as fast as the disk takes them.
//
// Threading: find() and finish() on any thread; `tell` is called on the recorder's own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proxy/jobs/record_store.h"

namespace batchproxy {

// A job of late: what has become of its requests since it was last quiet for ten minutes.
struct RecordedJob {
  std::string owner;  // as in RecordKey
  std::string name;
  std::uint64_t recorded = 0;   // good answers of backends
  std::uint64_t replayed = 0;   // requests answered with what was recorded, or what another got
  std::uint64_t under_way = 0;  // requests for which a backend is asked
  std::chrono::steady_clock::duration since_last{};  // request
};

class Recorder {
 public:
  using Tell = std::function<void(RecordedPtr)>;

  // The file is made, with its directory, when the first request is looked for.
  explicit Recorder(std::string path);
  // Writes what it was given before.
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void find(RecordKey key, Tell tell);
  // Once after each tell(null). Null: no good answer came.
  void finish(RecordKey key, RecordedPtr answer);

  // Looks at the jobs anew, for jobs(): to be called once a second. Any thread.
  void look_at_jobs();
  // Those with a request in the last ten minutes, as they were at the last look. Any thread.
  std::vector<RecordedJob> jobs() const;

  // Answers that could not be written, so far. Any thread.
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  class Desk;
  class Loop;

  std::atomic<std::uint64_t> lost_{0};
  mutable std::mutex jobs_mutex_;
  std::vector<RecordedJob> jobs_;  // under jobs_mutex_
  std::unique_ptr<Desk> desk_;  // used by the loop's thread alone
  std::unique_ptr<Loop> loop_;
};

}  // namespace batchproxy
