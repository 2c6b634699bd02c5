// proxy/trace/access_log.cc - see access_log.h.
#include "proxy/trace/access_log.h"

#include <algorithm>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "proxy/trace/record_text.h"

namespace batchproxy {

namespace {

constexpr Duration kPatience = std::chrono::seconds(5);
constexpr Duration kLook = std::chrono::seconds(1);
constexpr Duration kTellAgain = std::chrono::minutes(1);

// Evenly spread over ids in a row.
bool is_among(const RequestId& id, double percent) {
  return static_cast<double>(id.hash() >> 11) * 0x1p-53 * 100 < percent;
}

}  // namespace

bool AccessLogSettings::wants(const RequestRecord& record) const {
  switch (which.kind) {
    case LogChoice::Kind::kAll:
      return true;
    case LogChoice::Kind::kSlow:
      return record.has_failed() || record.total() > slower_than;
    case LogChoice::Kind::kFailed:
      return record.has_failed();
    case LogChoice::Kind::kShare:
      return is_among(record.id, which.percent);
  }
  return true;
}

AccessLog::~AccessLog() {
  finish();
}

void AccessLog::set(AccessLogSettings settings) {
  if (!thread_.joinable()) {
    if (settings.file.empty()) return;
    io_.restart();
    thread_ = std::thread([this] {
      const auto guard = asio::make_work_guard(io_);
      io_.run();
    });
  }
  // Records that end before the thread gets to it are for it, too.
  asio::post(io_, [this, settings = std::move(settings), mark = feed_.mark()]() mutable {
    settings_ = std::move(settings);
    told_ = {};
    if (!file_.set_path(settings_.file)) tell_problem();
    if (settings_.file.empty()) {
      feed_.stop();
      timer_.cancel();
    } else {
      feed_.start(
          [settings = settings_](const RequestRecord& record) { return settings.wants(record); },
          mark);
      look_at_file();
    }
  });
}

// Once a second, whether it was moved.
void AccessLog::look_at_file() {
  timer_.expires_after(kLook);
  timer_.async_wait([this](const ErrorCode& error) {
    if (error || settings_.file.empty()) return;
    file_.look_whether_moved();
    look_at_file();
  });
}

bool AccessLog::write(const RecordFeed::Taken& taken) {
  lost_ += taken.lost;
  if (taken.records.empty() || settings_.file.empty()) return true;
  const ClockPair clocks{std::chrono::steady_clock::now(), std::chrono::system_clock::now()};
  std::string lines;
  for (const RequestRecord& record : taken.records) {
    lines += settings_.json ? to_json(record, clocks) : to_line(record, clocks);
    lines += '\n';
  }
  std::size_t written = 0;
  const auto write_lines = [&] { written = file_.write(lines, kPatience); };
  if (file_.path() == LogFile::kStandardOutput) {
    beside_(write_lines);
  } else {
    write_lines();
  }
  lost_ += taken.records.size() - std::min(written, taken.records.size());
  if (!file_.problem().empty()) tell_problem();
  return file_.problem().empty();
}

void AccessLog::tell_problem() {
  const TimePoint now = std::chrono::steady_clock::now();
  if (told_ != TimePoint{} && now - told_ < kTellAgain) return;
  told_ = now;
  spdlog::warn("the access log {} loses lines: {}", settings_.file, file_.problem());
}

void AccessLog::finish() {
  if (!thread_.joinable()) return;
  file_.give_up();
  io_.stop();
  thread_.join();
  file_.forget_problem();  // an old one says nothing about what is left
  feed_.drain();
}

}  // namespace batchproxy
