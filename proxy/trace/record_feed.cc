// proxy/trace/record_feed.cc - see record_feed.h.
#include "proxy/trace/record_feed.h"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>

namespace batchproxy {

namespace {

constexpr Duration kPeriod = std::chrono::milliseconds(50);
constexpr std::uint64_t kAtOnce = 512;  // records looked at while an I/O thread waits

}  // namespace

RecordFeed::Mark RecordFeed::mark() const {
  Mark mark;
  for (const Source& source : sources_) mark.push_back(source.ring.written());
  return mark;
}

void RecordFeed::start(Wants wants, const Mark& mark) {
  const bool was_on = is_on();
  wants_ = std::make_shared<const Wants>(std::move(wants));
  if (was_on) return;
  for (std::size_t i = 0; i < sources_.size(); ++i) sources_[i].taken = mark[i];
  tick();
}

void RecordFeed::stop() {
  wants_.reset();
  timer_.cancel();
}

void RecordFeed::tick() {
  for (Source& source : sources_) {
    if (!source.asked && source.ring.written() != source.taken) ask(source);
  }
  timer_.expires_after(kPeriod);
  timer_.async_wait([this](const ErrorCode& error) {
    if (!error && is_on()) tick();
  });
}

void RecordFeed::ask(Source& source) {
  source.asked = true;
  asio::post(source.io, [this, &source, from = source.taken, wants = wants_] {
    Bite taken = bite(source.ring, from, *wants);
    asio::post(io_, [this, &source, taken = std::move(taken)] { on_bite(source, taken); });
  });
}

RecordFeed::Bite RecordFeed::bite(const RecordRing& ring, std::uint64_t from, const Wants& wants) {
  Bite found;
  const std::uint64_t begin = std::max(from, ring.oldest());
  found.taken.lost = begin - from;
  found.next = std::min(ring.written(), begin + kAtOnce);
  for (std::uint64_t number = begin; number < found.next; ++number) {
    if (wants(ring[number])) found.taken.records.push_back(ring[number]);
  }
  return found;
}

void RecordFeed::on_bite(Source& source, const Bite& bite) {
  source.asked = false;
  // One that was asked for before the feed was stopped comes too late.
  if (!is_on() || bite.next <= source.taken) return;
  source.taken = bite.next;
  take_(bite.taken);
  if (is_on() && source.ring.written() != source.taken) ask(source);
}

void RecordFeed::drain() {
  if (!is_on()) return;
  for (Source& source : sources_) {
    while (source.taken != source.ring.written()) {
      const Bite taken = bite(source.ring, source.taken, *wants_);
      source.taken = taken.next;
      if (!take_(taken.taken)) return;
    }
  }
}

}  // namespace batchproxy
