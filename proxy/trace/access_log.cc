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

constexpr Duration kPeriod = std::chrono::milliseconds(50);
constexpr std::uint64_t kAtOnce = 512;  // records looked at while an I/O thread waits
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
  asio::post(io_, [this, settings = std::move(settings)]() mutable {
    const bool was_on = !settings_.file.empty();
    settings_ = std::move(settings);
    told_ = {};
    if (!file_.set_path(settings_.file)) tell_problem();
    const bool is_on = !settings_.file.empty();
    // What ended while there was no log is not for it.
    if (is_on && !was_on) {
      for (Source& source : sources_) source.taken = source.ring.written();
      tick();
    }
    if (!is_on) timer_.cancel();
  });
}

void AccessLog::tick() {
  const TimePoint now = std::chrono::steady_clock::now();
  if (now - looked_ >= kLook) {
    looked_ = now;
    file_.look_whether_moved();
  }
  for (Source& source : sources_) {
    if (!source.asked && source.ring.written() != source.taken) ask(source);
  }
  timer_.expires_after(kPeriod);
  timer_.async_wait([this](const ErrorCode& error) {
    if (!error && !settings_.file.empty()) tick();
  });
}

void AccessLog::ask(Source& source) {
  source.asked = true;
  asio::post(source.io, [this, &source, from = source.taken, settings = settings_] {
    Taken taken = take(source.ring, from, settings);
    asio::post(io_, [this, &source, taken = std::move(taken)]() mutable {
      on_taken(source, std::move(taken));
    });
  });
}

AccessLog::Taken AccessLog::take(const RecordRing& ring, std::uint64_t from,
                                 const AccessLogSettings& settings) {
  Taken taken;
  const std::uint64_t begin = std::max(from, ring.oldest());
  taken.lost = begin - from;
  taken.next = std::min(ring.written(), begin + kAtOnce);
  for (std::uint64_t number = begin; number < taken.next; ++number) {
    if (settings.wants(ring[number])) taken.records.push_back(ring[number]);
  }
  return taken;
}

void AccessLog::on_taken(Source& source, Taken taken) {
  source.asked = false;
  source.taken = taken.next;
  write(taken);
  if (source.ring.written() != source.taken && !settings_.file.empty()) ask(source);
}

void AccessLog::write(const Taken& taken) {
  lost_ += taken.lost;
  if (taken.records.empty() || settings_.file.empty()) return;
  const ClockPair clocks{std::chrono::steady_clock::now(), std::chrono::system_clock::now()};
  std::string lines;
  for (const RequestRecord& record : taken.records) {
    lines += settings_.json ? to_json(record, clocks) : to_line(record, clocks);
    lines += '\n';
  }
  const std::size_t written = file_.write(lines, kPatience);
  lost_ += taken.records.size() - std::min(written, taken.records.size());
  if (!file_.problem().empty()) tell_problem();
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
  if (settings_.file.empty()) return;
  file_.forget_problem();  // an old one says nothing about what is left
  for (Source& source : sources_) {
    while (source.taken != source.ring.written()) {
      const Taken taken = take(source.ring, source.taken, settings_);
      source.taken = taken.next;
      write(taken);
      if (!file_.problem().empty()) return;  // the rest would fare no better
    }
  }
}

}  // namespace batchproxy
