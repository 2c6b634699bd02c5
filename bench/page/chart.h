// bench/page/chart.h - charts as SVG, drawn by this program: no script, no network, and colours
// that the page chooses by theme (classes s1, s2, … for series; axis, grid, label, mark, heat).
//
// Threading: pure functions, any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace batchproxy::bench {

// The size of a drawing in CSS pixels. Text is 12 px whatever the size, so a narrow page gets a
// drawing of its own.
struct Canvas {
  double width = 600;
  double height = 280;
};
inline constexpr Canvas kWide{600, 280};
inline constexpr Canvas kNarrow{358, 260};

struct Series {
  std::string name{};
  std::vector<std::pair<double, double>> points{};
  bool filled = false;
};

// A line across the drawing, with a word: "p99".
struct Marker {
  double x = 0;
  std::string name{};
};

struct LineChart {
  std::string title{};
  std::string x_title{}, y_title{};
  std::vector<Series> series{};
  std::vector<Marker> markers{};
  bool x_logarithmic = false;
  // A part of x that does not count, such as a warm-up: shaded.
  std::vector<std::pair<double, double>> shaded{};
};
std::string draw(const LineChart& chart, const Canvas& canvas);

struct Bar {
  std::string name{};
  double value = 0;
  std::string words{};  // the value for people
  std::size_t series = 0;
};
// Bars that lie, one below the other. As high as they need.
struct BarChart {
  std::string title{};
  std::vector<Bar> bars{};
};
std::string draw(const BarChart& chart, double width);

struct HeatMap {
  std::string title{};
  std::string x_title{}, y_title{};
  std::vector<std::string> columns{}, rows{};
  std::vector<std::vector<std::optional<double>>> cells{};  // by row; nothing: not measured
  bool more_is_better = true;
};
// The best cell has a frame. As high as it needs.
std::string draw(const HeatMap& map, double width);

// Round numbers from at most `least` to at least `most`, about `count` of them.
std::vector<double> ticks_between(double least, double most, std::size_t count);
// Powers of ten, with 2 and 5 where there is room.
std::vector<double> logarithmic_ticks(double least, double most, std::size_t count);
// "0.5", "20", "3k".
std::string tick_words(double value);

// Text for HTML and SVG.
std::string escaped(std::string_view text);

}  // namespace batchproxy::bench
