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
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "proxy/jobs/record_store.h"

namespace batchproxy {

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

  // Answers that could not be written, so far. Any thread.
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  class Desk;
  class Loop;

  std::atomic<std::uint64_t> lost_{0};
  std::unique_ptr<Desk> desk_;  // used by the loop's thread alone
  std::unique_ptr<Loop> loop_;
};

}  // namespace batchproxy
