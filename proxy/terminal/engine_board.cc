// proxy/terminal/engine_board.cc - see engine_board.h.
#include "proxy/terminal/engine_board.h"

#include <fmt/format.h>

namespace batchproxy {

EngineBoard::EngineBoard(std::vector<std::string> names, bool in_place) : in_place_(in_place) {
  for (std::string& name : names) rows_.push_back({std::move(name), "waiting for its turn", {}});
}

std::string EngineBoard::update(std::size_t index, std::string_view text, bool milestone,
                                TimePoint now) {
  Row& row = rows_[index];
  row.text = text;
  if (in_place_) {
    std::string out = move_to_top() + draw();
    drawn_ = true;
    return out;
  }
  if (!milestone && now - row.shown < kProgress) return {};
  row.shown = now;
  return fmt::format("{}: {}\n", row.name, text);
}

// Other lines go above the board.
std::string EngineBoard::line(std::string_view text) {
  if (!drawn_) return fmt::format("{}\n", text);
  return fmt::format("{}\x1b[J{}\n{}", move_to_top(), text, draw());
}

std::string EngineBoard::draw() const {
  std::string out;
  for (const Row& row : rows_) out += fmt::format("\x1b[2K{}: {}\n", row.name, row.text);
  return out;
}

std::string EngineBoard::move_to_top() const {
  return drawn_ ? fmt::format("\x1b[{}A", rows_.size()) : std::string();
}

}  // namespace batchproxy
