// launcher/diagnosis/shape.h - a sentence with holes, looked for in a line of a log.
//
//   match("max seq len (32768) is too long", "max seq len (#)")  ->  numbers[0] is 32768
//
// '#' is a number ("9936", "4.85", "476,016", "-0.3"), '@' a text that is kept, '*' one that is
// not. Everything else stands for itself. A text hole ends where what follows it in the shape is
// next found; at the shape's end it takes the rest of the line.
//
// It is no regular expression: the shape's beginning is looked for with string_view::find(), which
// dismisses a line that has nothing of the kind at the speed of memory.
//
// Threading: pure functions, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace batchproxy {

struct Match {
  static constexpr std::size_t kMostNumbers = 5;

  std::array<double, kMostNumbers> numbers{};
  std::size_t count = 0;    // of the numbers
  std::string_view text{};  // of the first '@'; a view into the line
  std::size_t end = 0;      // of the match in the line
};

// The first place in `line` that has the shape. `shape` must not begin with a hole.
std::optional<Match> match(std::string_view line, std::string_view shape);

}  // namespace batchproxy
