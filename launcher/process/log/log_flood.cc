// launcher/process/log/log_flood.cc - see log_flood.h.
#include "launcher/process/log/log_flood.h"

#include <algorithm>
#include <utility>

namespace batchproxy {

namespace {

std::string note(std::uint64_t count, std::string_view what) {
  return "batchproxy: … " + std::to_string(count) + " " + std::string(what) + "\n";
}

}  // namespace

std::string LogFlood::pass(std::string_view bytes, TimePoint now) {
  if (now - window_begin_ >= kWindow) {
    end_window();
    window_begin_ = now;
  }
  if (now - told_ >= kTellAgain) {
    tell_same();
    told_ = now;
  }
  if (!bytes.empty()) {
    last_bytes_ = now;
  } else if (now - last_bytes_ >= kWindow) {
    show_beginning();  // it will not end soon
  }
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    const std::size_t taken = std::min(end, kLongestLine - line_.size());
    line_ += bytes.substr(0, taken);
    cut_ += end - taken;
    if (end < bytes.size()) end_line(bytes[end]);
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  const bool may_be_same = same_ >= kSameShown && last_.starts_with(line_);
  if (!may_be_same && lines_ < kMostLines) show_beginning();
  return std::exchange(out_, {});
}

void LogFlood::end_line(char end) {
  if (cut_ > 0) line_ += " … " + std::to_string(std::exchange(cut_, 0)) + " bytes more";
  line_ += end;
  same_ = line_ == last_ ? same_ + 1 : 1;
  if (shown_ > 0) {
    out_ += std::string_view(line_).substr(std::exchange(shown_, 0));
    ++lines_;
    last_ = std::exchange(line_, {});
    return;
  }
  if (same_ > kSameShown) {
    ++untold_;
    line_.clear();
    return;
  }
  tell_same();
  last_ = line_;
  put_line(std::exchange(line_, {}));
}

void LogFlood::put_line(std::string line) {
  if (lines_ < kMostLines) {
    ++lines_;
    out_ += line;
    return;
  }
  last_lines_.push_back(std::move(line));
  if (last_lines_.size() <= kLastLines) return;
  last_lines_.pop_front();
  ++left_out_;
}

void LogFlood::show_beginning() {
  if (shown_ == line_.size()) return;
  if (shown_ == 0) tell_same();
  out_ += std::string_view(line_).substr(shown_);
  shown_ = line_.size();
}

void LogFlood::tell_same() {
  if (untold_ > 0) put_line(note(std::exchange(untold_, 0), "more like this"));
}

void LogFlood::end_window() {
  if (left_out_ > 0) {
    out_ +=
        note(std::exchange(left_out_, 0), "lines left out: there were too many within a second");
  }
  for (const std::string& line : last_lines_) out_ += line;
  last_lines_.clear();
  lines_ = 0;
}

std::optional<TimePoint> LogFlood::due() const {
  if (!last_lines_.empty()) return window_begin_ + kWindow;
  if (shown_ < line_.size()) return last_bytes_ + kWindow;
  if (untold_ > 0) return told_ + kTellAgain;
  return std::nullopt;
}

std::string LogFlood::rest() {
  end_window();
  tell_same();
  show_beginning();
  return std::exchange(out_, {});
}

}  // namespace batchproxy
