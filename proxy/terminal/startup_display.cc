// proxy/terminal/startup_display.cc - see startup_display.h.
#include "proxy/terminal/startup_display.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "configs/text/columns.h"

namespace batchproxy {

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

std::string StartupDisplay::draw() {
  std::string out;
  drawn_.clear();
  for (const Row& row : rows_) {
    std::string text =
        row.engine.name.empty() ? row.text : fmt::format("{}: {}", row.engine.name, row.text);
    if (columns_ > 0) text = cut_to_columns(text, columns_);
    out += "\x1b[2K" + text + "\n";
    drawn_.push_back(columns_of(text));
  }
  return out;
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
