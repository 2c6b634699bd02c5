// proxy/trace/access_log.h - AccessLog: a line for each request that has ended, written by a thread
// of its own.
//
// It takes the records out of the I/O threads' rings, a bounded number at a time, and these never
// wait for it: what a ring has written over before it was taken is lost, and counted. So a slow
// disk costs lines and nothing else, and there is no queue that could grow.
//
// Threading: its members are called on the control thread, except lost().
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "backends/net/task.h"
#include "configs/schema/log_choice.h"
#include "proxy/trace/log_file.h"
#include "proxy/trace/record_ring.h"

namespace batchproxy {

struct AccessLogSettings {
  bool wants(const RequestRecord& record) const;

  std::string file{};  // a path, or `-` for standard output; empty: there is no log
  bool json = false;   // a JSON object a line
  LogChoice which{};
  Duration slower_than = std::chrono::seconds(1);  // is slow
};

class AccessLog {
 public:
  AccessLog() = default;
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Before the first set(): where records come from. Both outlive finish().
  void add(asio::io_context& io, const RecordRing& ring) { sources_.emplace_back(io, ring); }
  // From the next records on. Opens the file, anew if it is the one that it was.
  void set(AccessLogSettings settings);
  // Once the I/O threads have ended: writes what is left, as far as it goes at once.
  void finish();

  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  struct Source {
    Source(asio::io_context& its_io, const RecordRing& its_ring) : io(its_io), ring(its_ring) {}
    asio::io_context& io;
    const RecordRing& ring;
    std::uint64_t taken = 0;  // up to here
    bool asked = false;       // and has not answered
  };
  struct Taken {
    std::vector<RequestRecord> records;
    std::uint64_t lost = 0;
    std::uint64_t next = 0;
  };

  static Taken take(const RecordRing& ring, std::uint64_t from, const AccessLogSettings& settings);
  void tick();
  void ask(Source& source);
  void on_taken(Source& source, Taken taken);
  void write(const Taken& taken);
  void tell_problem();

  asio::io_context io_{1};
  asio::steady_timer timer_{io_};
  std::vector<Source> sources_;
  std::thread thread_;
  // The thread's own:
  AccessLogSettings settings_;
  LogFile file_;
  TimePoint looked_{};  // whether the file was moved
  TimePoint told_{};    // that it cannot be written
  std::atomic<std::uint64_t> lost_{0};
};

}  // namespace batchproxy
