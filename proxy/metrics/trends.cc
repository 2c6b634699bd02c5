// proxy/metrics/trends.cc - see trends.h.
#include "proxy/metrics/trends.h"

#include <algorithm>
#include <numeric>

namespace batchproxy {

namespace {

// What has come since a counter was `then`; all of it if it has begun anew meanwhile.
std::uint64_t grown(std::uint64_t now, std::uint64_t then) {
  return now >= then ? now - then : now;
}

double per_second(std::uint64_t now, std::uint64_t then, double seconds) {
  return seconds > 0 ? static_cast<double>(grown(now, then)) / seconds : 0;
}

}  // namespace

Trends::OfBackend Trends::take(const BackendSnapshot& backend) {
  return {.id = backend.id,
          .answered = backend.answered,
          .tokens = backend.generation_tokens,
          .prefix_queries = backend.prefix_queries,
          .prefix_hits = backend.prefix_hits,
          .takes = backend.takes};
}

Trends::Sample Trends::take(const Snapshot& now) {
  Sample sample;
  sample.at = now.uptime;
  sample.received = now.received;
  sample.answered = now.prompts_answered;
  sample.errors = std::accumulate(now.errors.begin(), now.errors.end(), std::uint64_t{0});
  for (const BackendSnapshot& backend : now.backends) sample.backends.push_back(take(backend));
  return sample;
}

void Trends::add(const Snapshot& now) {
  samples_.push_back(take(now));
  // One that is older than all others are asked about is kept, for the full length.
  while (samples_.size() > 1 && samples_[1].at <= now.uptime - kLong) samples_.pop_front();
}

// The youngest sample that is at least so old; else the oldest.
const Trends::Sample& Trends::before(double seconds, double now) const {
  const auto younger = std::ranges::upper_bound(samples_, now - seconds, {}, &Sample::at);
  return younger == samples_.begin() ? samples_.front() : *std::prev(younger);
}

const Trends::OfBackend* Trends::find(const Sample& sample, BackendId id) {
  const auto found = std::ranges::find(sample.backends, id, &OfBackend::id);
  return found == sample.backends.end() ? nullptr : &*found;
}

// What the answers of the last minute, and the cache, come to.
void Trends::tell_minute(BackendTrend& trend, const Minute& minute) {
  trend.answers = minute.takes.total();
  trend.p50 = minute.takes.quantile(0.5);
  trend.p95 = minute.takes.quantile(0.95);
  if (minute.queries == 0) return;
  trend.prefix_hits = static_cast<double>(minute.hits) / static_cast<double>(minute.queries);
}

void Trends::fill(Snapshot& now) const {
  if (samples_.empty()) return;
  const Sample current = take(now);
  const auto rates = [&](const Sample& then) {
    const double seconds = current.at - then.at;
    Rates of_then;
    of_then.received = per_second(current.received, then.received, seconds);
    of_then.answered = per_second(current.answered, then.answered, seconds);
    of_then.errors = per_second(current.errors, then.errors, seconds);
    for (const OfBackend& backend : current.backends) {
      const OfBackend* earlier = find(then, backend.id);
      if (earlier == nullptr) continue;
      of_then.tokens += per_second(backend.tokens, earlier->tokens, seconds);
    }
    return of_then;
  };
  const Sample& recent = before(kShort, now.uptime);
  const Sample& minute = before(kLong, now.uptime);
  now.last_10s = rates(recent);
  now.last_60s = rates(minute);
  now.trend.tokens_10s = now.last_10s.tokens;
  now.trend.tokens_60s = now.last_60s.tokens;
  Minute all;
  for (std::size_t i = 0; i < now.backends.size(); ++i) {
    const OfBackend& is = current.backends[i];
    BackendTrend& trend = now.backends[i].trend;
    if (const OfBackend* was = find(recent, is.id)) {
      trend.answers_10s = per_second(is.answered, was->answered, current.at - recent.at);
      trend.tokens_10s = per_second(is.tokens, was->tokens, current.at - recent.at);
    }
    if (const OfBackend* was = find(minute, is.id)) {
      trend.answers_60s = per_second(is.answered, was->answered, current.at - minute.at);
      trend.tokens_60s = per_second(is.tokens, was->tokens, current.at - minute.at);
      const Minute own{is.takes.since(was->takes), grown(is.prefix_queries, was->prefix_queries),
                       grown(is.prefix_hits, was->prefix_hits)};
      tell_minute(trend, own);
      all.takes += own.takes;
      all.queries += own.queries;
      all.hits += own.hits;
    }
    now.trend.answers_10s += trend.answers_10s;
    now.trend.answers_60s += trend.answers_60s;
  }
  tell_minute(now.trend, all);
}

}  // namespace batchproxy
