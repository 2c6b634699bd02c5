// proxy/trace/access_log.h - AccessLog: a line for each request that has ended, written by a thread
// of its own.
//
// The I/O threads never wait for it (record_feed.h): a slow disk costs lines, which are counted,
// and nothing else.
//
// Threading: its members are called on the control thread, except lost().
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "backends/net/task.h"
#include "configs/schema/log_choice.h"
#include "proxy/trace/log_file.h"
#include "proxy/trace/record_feed.h"

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
  void add(asio::io_context& io, const RecordRing& ring) { feed_.add(io, ring); }
  // Before the first set(): how something is written to standard output beside what others write
  // there. Without, at once.
  using Beside = std::function<void(const std::function<void()>& write)>;
  void write_beside(Beside beside) { beside_ = std::move(beside); }
  // From the next records on. Opens the file, anew if it is the one that it was.
  void set(AccessLogSettings settings);
  // Once the I/O threads have ended: writes what is left, as far as it goes at once.
  void finish();

  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  void look_at_file();
  bool write(const RecordFeed::Taken& taken);
  void tell_problem();

  asio::io_context io_{1};
  asio::steady_timer timer_{io_};
  RecordFeed feed_{io_, [this](const RecordFeed::Taken& taken) { return write(taken); }};
  Beside beside_ = [](const std::function<void()>& write) { write(); };
  std::thread thread_;
  // The thread's own:
  AccessLogSettings settings_;
  LogFile file_;
  TimePoint told_{};  // that it cannot be written
  std::atomic<std::uint64_t> lost_{0};
};

}  // namespace batchproxy
