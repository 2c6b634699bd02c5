// proxy/terminal/startup_display.cc - see startup_display.h.
#include "proxy/terminal/startup_display.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "configs/text/columns.h"

namespace batchproxy {

namespace {

constexpr std::size_t kUsualHeight = 24;  // lines of a terminal that does not tell
constexpr std::size_t kNotForBoard = 4;   // of these, what is above it stays in sight

}  // namespace

StartupDisplay::StartupDisplay(std::vector<Engine> engines, bool in_place) : in_place_(in_place) {
  for (Engine& engine : engines) {
    rows_.push_back({std::move(engine), "waiting for its turn", {}});
  }
}

std::string StartupDisplay::update(BackendId engine, std::string_view text, bool milestone,
                                   TimePoint now) {
  Row& row = *std::ranges::find(rows_, engine, [](const Row& one) { return one.engine.id; });
  row.text = text;
  if (in_place_) {
    std::string out = move_to_top();
    return out + draw();
  }
  if (!milestone && now - row.shown < kProgress) return {};
  row.shown = now;
  return fmt::format("{}: {}\n", row.engine.name, text);
}

// Other lines go above the board.
std::string StartupDisplay::line(std::string_view text) {
  std::string out = lift();
  out += fmt::format("{}\n", text);
  return out + restore();
}

std::string StartupDisplay::lift() {
  if (drawn_.empty()) return {};
  std::string out = move_to_top() + "\x1b[J";
  drawn_.clear();
  lifted_ = true;
  return out;
}

std::string StartupDisplay::restore() {
  return std::exchange(lifted_, false) ? draw() : std::string();
}

std::vector<std::string> StartupDisplay::lines() const {
  const std::size_t height = height_ > 0 ? height_ : kUsualHeight;
  const std::size_t most = std::max(height, kNotForBoard + 2) - kNotForBoard;
  if (rows_.size() > most) return grouped_lines(most);
  std::vector<std::string> lines;
  for (const Row& row : rows_) {
    lines.push_back(row.engine.name.empty() ? row.text
                                            : fmt::format("{}: {}", row.engine.name, row.text));
  }
  return lines;
}

std::vector<std::string> StartupDisplay::grouped_lines(std::size_t most) const {
  struct Group {
    const Row* first;
    std::size_t engines;
  };
  std::vector<Group> groups;
  for (const Row& row : rows_) {
    const auto same = std::ranges::find_if(
        groups, [&](const Group& group) { return group.first->text == row.text; });
    if (same == groups.end()) {
      groups.push_back({&row, 1});
    } else {
      ++same->engines;
    }
  }
  // The larger ones tell more; others stay as they are.
  const Row* const rows_begin = rows_.data();
  std::ranges::sort(groups, std::greater(), [rows_begin](const Group& group) {
    return std::pair(group.engines, -(group.first - rows_begin));
  });
  std::vector<std::string> lines;
  std::size_t left = rows_.size();
  for (const Group& group : groups) {
    if (lines.size() + 1 == most && group.engines < left) {
      lines.push_back(fmt::format("{} more engines", left));
      break;
    }
    left -= group.engines;
    lines.push_back(group.engines == 1
                        ? fmt::format("{}: {}", group.first->engine.name, group.first->text)
                        : fmt::format("{} engines: {}", group.engines, group.first->text));
  }
  return lines;
}

std::string StartupDisplay::draw() {
  std::string out;
  const std::size_t before = drawn_.size();
  drawn_.clear();
  for (std::string& text : lines()) {
    if (columns_ > 0) text = cut_to_columns(text, columns_);
    out += "\x1b[2K" + text + "\n";
    drawn_.push_back(columns_of(text));
  }
  return drawn_.size() < before ? out + "\x1b[J" : out;
}

// On a terminal that has become narrower since, a line takes several.
std::string StartupDisplay::move_to_top() const {
  if (drawn_.empty()) return {};
  std::size_t lines = 0;
  for (const std::size_t length : drawn_) {
    const bool wraps = columns_ > 0 && length > columns_;
    lines += wraps ? (length + columns_ - 1) / columns_ : 1;
  }
  return fmt::format("\x1b[{}A", lines) + (lines > drawn_.size() ? "\x1b[J" : "");
}

}  // namespace batchproxy
