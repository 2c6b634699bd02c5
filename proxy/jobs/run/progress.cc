// proxy/jobs/run/progress.cc - see progress.h.
#include "proxy/jobs/run/progress.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "configs/text/printable.h"

namespace batchproxy {

namespace {

using Seconds = std::chrono::duration<double>;

constexpr std::size_t kMostSamples = 120;
constexpr std::size_t kEnoughSamples = 4;
constexpr int kBar = 20;
constexpr int kFewest = 4;  // cells of a bar

double in_seconds(Duration duration) {
  return std::chrono::duration_cast<Seconds>(duration).count();
}

Duration from_seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(Seconds(std::min(seconds, 1e8)));
}

int columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// At most `width` characters of UTF-8.
std::string cut(std::string_view text, int width) {
  std::size_t end = 0;
  for (int seen = 0; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xc0) != 0x80 && ++seen > width) break;
  }
  return std::string(text.substr(0, end));
}

}  // namespace

std::string with_commas(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

std::string duration_words(Duration duration) {
  const auto all = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (all < 60) return fmt::format("{} s", all);
  const bool hours = all >= 3600;
  const auto rest = hours ? all % 3600 / 60 : all % 60;
  const std::string words =
      hours ? fmt::format("{} h", all / 3600) : fmt::format("{} min", all / 60);
  return rest == 0 ? words : fmt::format("{} {} {}", words, rest, hours ? "min" : "s");
}

void Pace::sample(TimePoint now, std::int64_t done) {
  samples_.push_back({now, done});
  if (samples_.size() > kMostSamples) samples_.pop_front();
}

// The spread is that of the mean of the rates between two samples.
std::optional<Pace::Left> Pace::left(std::int64_t waiting) const {
  if (samples_.size() < kEnoughSamples) return std::nullopt;
  double sum = 0;
  double squares = 0;
  const auto count = static_cast<double>(samples_.size() - 1);
  for (std::size_t i = 1; i < samples_.size(); ++i) {
    const double seconds = in_seconds(samples_[i].at - samples_[i - 1].at);
    if (seconds <= 0) return std::nullopt;
    const double rate = static_cast<double>(samples_[i].done - samples_[i - 1].done) / seconds;
    sum += rate;
    squares += rate * rate;
  }
  const double mean = sum / count;
  if (mean <= 0) return std::nullopt;
  const double variance = std::max(0.0, squares / count - mean * mean);
  const double seconds = static_cast<double>(waiting) / mean;
  return Left{from_seconds(seconds), from_seconds(seconds * std::sqrt(variance / count) / mean)};
}

void RunProgress::add(const std::vector<ItemOutcome>& outcomes) {
  for (const ItemOutcome& outcome : outcomes) {
    const bool answered = outcome.state == ItemState::kAnswered;
    ++(answered ? tally_.answered : tally_.failed);
    ++(answered ? counts_.answered : counts_.failed);
    --counts_.waiting;
    tally_.tokens += outcome.prompt_tokens + outcome.completion_tokens;
    if (!outcome.backend.empty()) ++tally_.by_backend[outcome.backend];
  }
}

std::string RunProgress::line(TimePoint now) const {
  const double seconds = in_seconds(now - started_);
  std::string line =
      fmt::format("{} of {} answered", with_commas(counts_.answered), with_commas(counts_.all()));
  const std::int64_t done = tally_.answered + tally_.failed;
  if (done > 0 && seconds > 0) {
    line += fmt::format(" · {:.1f}/s · {} tokens/s", static_cast<double>(done) / seconds,
                        with_commas(std::llround(static_cast<double>(tally_.tokens) / seconds)));
  }
  if (counts_.failed > 0) line += fmt::format(" · {} failed", with_commas(counts_.failed));
  if (const auto left = pace_.left(counts_.waiting); left && counts_.waiting > 0) {
    line +=
        fmt::format(" · {} ± {} left", duration_words(left->time), duration_words(left->spread));
  }
  return line;
}

std::string RunProgress::shares() const {
  std::int64_t all = 0;
  for (const auto& [name, count] : tally_.by_backend) all += count;
  std::string text;
  for (const auto& [name, count] : tally_.by_backend) {
    text += text.empty() ? " · " : ", ";
    text += fmt::format("{} {} %", printable(name), (count * 100 + all / 2) / all);
  }
  return text;
}

std::string RunProgress::summary(TimePoint now) const {
  return fmt::format("{} · {}{}", line(now), duration_words(now - started_), shares());
}

std::string RunProgress::picture(TimePoint now, int width) const {
  const int cells = std::min(kBar, width / 8);
  const std::int64_t all = std::max<std::int64_t>(1, counts_.all());
  const std::int64_t full = (counts_.answered + counts_.failed) * cells / all;
  std::string bar = cells < kFewest ? "" : "[";
  for (int i = 0; !bar.empty() && i < cells; ++i) bar += i < full ? '#' : '.';
  return cut(bar + (bar.empty() ? "" : "] ") + line(now) + shares(), width);
}

// The last column stays empty: some terminals begin a line when it is full.
void RunProgress::draw(TimePoint now) {
  const std::string text = picture(now, columns() - 1);
  std::fprintf(stderr, "\r\x1b[K%s", text.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void RunProgress::clear_line() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
  drawn_ = false;
}

}  // namespace batchproxy
