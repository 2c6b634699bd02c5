// proxy/terminal/startup_display.cc - see startup_display.h.
#include "proxy/terminal/startup_display.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

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
    std::string out = move_to_top() + draw();
    drawn_ = true;
    return out;
  }
  if (!milestone && now - row.shown < kProgress) return {};
  row.shown = now;
  return fmt::format("{}: {}\n", row.engine.name, text);
}

// Other lines go above the board.
std::string StartupDisplay::line(std::string_view text) {
  if (!drawn_) return fmt::format("{}\n", text);
  return fmt::format("{}\x1b[J{}\n{}", move_to_top(), text, draw());
}

std::string StartupDisplay::draw() const {
  std::string out;
  for (const Row& row : rows_) out += fmt::format("\x1b[2K{}: {}\n", row.engine.name, row.text);
  return out;
}

std::string StartupDisplay::move_to_top() const {
  return drawn_ ? fmt::format("\x1b[{}A", rows_.size()) : std::string();
}

}  // namespace batchproxy
