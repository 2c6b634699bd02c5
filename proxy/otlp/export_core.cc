// proxy/otlp/export_core.cc - see export_core.h.
#include "proxy/otlp/export_core.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "configs/text/number.h"
#include "configs/text/trim.h"

namespace batchproxy {

namespace {

// As the specification of OTLP over HTTP has them, and no answer at all.
constexpr std::array kNotNow = {0u, 429u, 502u, 503u, 504u};

}  // namespace

bool ExportCore::Answer::may_come_again() const {
  return std::ranges::find(kNotNow, status) != kNotNow.end();
}

void ExportCore::add(std::vector<RequestRecord> records, TimePoint now) {
  for (RequestRecord& record : records) {
    if (waiting_.size() == kMostWaiting) {
      ++dropped_;
    } else {
      waiting_.push_back({std::move(record), now});
    }
  }
}

std::optional<TimePoint> ExportCore::due() const {
  if (waiting_.empty()) return std::nullopt;
  if (hurries_) return TimePoint{};
  const bool is_full = waiting_.size() >= kMostAtOnce;
  return std::max(is_full ? TimePoint{} : waiting_.front().since + kDelay, not_before_);
}

std::vector<RequestRecord> ExportCore::next_batch() {
  sending_ = std::min(waiting_.size(), kMostAtOnce);
  std::vector<RequestRecord> records;
  for (std::size_t i = 0; i < sending_; ++i) records.push_back(waiting_[i].record);
  return records;
}

void ExportCore::on_answer(const Answer& answer, TimePoint now) {
  if (answer.is_taken()) {
    sent_ += sending_;
    pause_ = {};
    return end_batch();
  }
  if (hurries_) return drop_all();
  if (!answer.may_come_again()) {
    dropped_ += sending_;
    return end_batch();
  }
  if (!failing_since_) failing_since_ = now;
  if (now - *failing_since_ >= kPatience) {
    dropped_ += sending_;
    end_batch();
  }
  pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
  not_before_ = now + (answer.wait ? std::min(*answer.wait, kLongestAskedFor) : pause_);
}

void ExportCore::end_batch() {
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(sending_));
  sending_ = 0;
  failing_since_.reset();
}

void ExportCore::drop_all() {
  dropped_ += waiting_.size();
  waiting_.clear();
  sending_ = 0;
  failing_since_.reset();
}

std::optional<Duration> read_retry_after(std::string_view value) {
  const auto seconds = number_in<double>(trim(value));
  if (!seconds || !(*seconds >= 0 && *seconds < 1e6)) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*seconds));
}

std::string refused_part(std::string_view body) {
  namespace dom = simdjson::dom;
  dom::parser parser;
  dom::element answer;
  if (parser.parse(body.data(), body.size()).get(answer)) return {};
  dom::element told;
  if (answer["partialSuccess"].get(told)) return {};
  // 64 bits are a text, but not with all collectors.
  std::string_view text;
  std::int64_t number = 0;
  std::string refused;
  if (!told["rejectedSpans"].get(text)) refused = text;
  if (!told["rejectedSpans"].get(number)) refused = std::to_string(number);
  std::string_view why;
  if (told["errorMessage"].get(why)) why = {};
  if ((refused.empty() || refused == "0") && why.empty()) return {};
  return fmt::format("it refused {} spans: {}", refused.empty() ? "0" : refused,
                     why.empty() ? "it does not say why" : why);
}

}  // namespace batchproxy
