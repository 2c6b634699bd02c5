// bench/page/chart.cc - see chart.h.
#include "bench/page/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "configs/text/columns.h"

namespace batchproxy::bench {

namespace {

constexpr double kTitle = 30;      // pixels above the drawing, for its title
constexpr double kSecondLine = 6;  // below it: the name of y, and the legend
constexpr double kLeft = 52;       // left of it, for the ticks of y
constexpr double kRight = 14;
constexpr double kBelow = 42;       // for the ticks of x and its title
constexpr double kCharacter = 7.4;  // the width of one of 12 px, about
constexpr double kBarHeight = 26;
constexpr std::size_t kHeatSteps = 9;

double text_width(std::string_view text) {
  return kCharacter * static_cast<double>(columns_of(text));
}

std::string begin_svg(double width, double height, std::string_view title) {
  return fmt::format(
      R"(<svg viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" role="img" aria-label="{2}"><title>{2}</title>)"
      R"(<text class="title" x="0" y="16">{2}</text>)",
      width, height, escaped(title));
}

std::string text_at(double x, double y, std::string_view anchor, std::string_view text,
                    std::string_view kind = "label") {
  if (text.empty()) return "";
  return fmt::format(R"(<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)", kind,
                     x, y, anchor, escaped(text));
}

std::string line_at(double x1, double y1, double x2, double y2, std::string_view kind) {
  return fmt::format(R"(<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)", kind,
                     x1, y1, x2, y2);
}

// From values to pixels, along one axis.
class Scale {
 public:
  Scale(double least, double most, double begin, double end, bool logarithmic)
      : logarithmic_(logarithmic),
        least_(at(least)),
        span_(std::max(at(most) - at(least), 1e-12)),
        begin_(begin),
        length_(end - begin) {}

  double operator()(double value) const { return begin_ + length_ * (at(value) - least_) / span_; }

 private:
  double at(double value) const {
    return logarithmic_ ? std::log10(std::max(value, 1e-12)) : value;
  }

  const bool logarithmic_;
  const double least_, span_, begin_, length_;
};

struct Extent {
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();

  void add(double value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
  bool empty() const { return least > most; }
};

// A line chart while it is drawn.
class Plot {
 public:
  Plot(const LineChart& chart, const Canvas& canvas)
      : chart_(chart),
        canvas_(canvas),
        top_(kTitle + (has_legend() || !chart.y_title.empty() ? 18 : 4)),
        bottom_(canvas.height - kBelow) {}

  std::string draw() {
    std::string svg = begin_svg(canvas_.width, canvas_.height, chart_.title);
    Extent across, up;
    for (const Series& series : chart_.series) {
      for (const auto& [x, y] : series.points) {
        across.add(x);
        up.add(y);
      }
    }
    if (across.empty()) {
      return svg + text_at(canvas_.width / 2, canvas_.height / 2, "middle", "no data") + "</svg>";
    }
    const auto y_ticks = ticks_between(0, std::max(up.most, 1e-9), canvas_.height > 240 ? 5 : 4);
    const Scale y(y_ticks.front(), y_ticks.back(), bottom_, top_, false);
    const Scale x(across.least, across.most, kLeft, canvas_.width - kRight, chart_.x_logarithmic);
    svg += shaded(x) + horizontal_grid(y, y_ticks) + vertical_ticks(x, across);
    for (std::size_t i = 0; i < chart_.series.size(); ++i)
      svg += line_of(chart_.series[i], i, x, y);
    return svg + markers(x) + legend() + "</svg>";
  }

 private:
  bool has_legend() const { return chart_.series.size() > 1; }

  std::string shaded(const Scale& x) const {
    std::string svg;
    for (const auto& [begin, end] : chart_.shaded) {
      if (end <= begin) continue;
      svg += fmt::format(
          R"(<rect class="shade" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)", x(begin),
          top_, std::max(x(end) - x(begin), 0.0), bottom_ - top_);
    }
    return svg;
  }

  std::string horizontal_grid(const Scale& y, const std::vector<double>& ticks) const {
    std::string svg;
    for (const double tick : ticks) {
      svg += line_at(kLeft, y(tick), canvas_.width - kRight, y(tick), tick == 0 ? "axis" : "grid");
      svg += text_at(kLeft - 6, y(tick) + 4, "end", tick_words(tick));
    }
    return svg + text_at(0, kTitle + kSecondLine, "start", chart_.y_title);
  }

  std::string vertical_ticks(const Scale& x, const Extent& across) const {
    const auto count = static_cast<std::size_t>(canvas_.width / 75);
    const auto ticks = chart_.x_logarithmic ? logarithmic_ticks(across.least, across.most, count)
                                            : ticks_between(across.least, across.most, count);
    std::string svg;
    for (const double tick : ticks) {
      const double at = x(tick);
      if (at < kLeft - 0.5 || at > canvas_.width - kRight + 0.5) continue;
      svg += line_at(at, bottom_, at, bottom_ + 4, "axis");
      svg += text_at(at, bottom_ + 17, "middle", tick_words(tick));
    }
    return svg + text_at((kLeft + canvas_.width - kRight) / 2, canvas_.height - 8, "middle",
                         chart_.x_title);
  }

  static std::string line_of(const Series& series, std::size_t number, const Scale& x,
                             const Scale& y) {
    if (series.points.empty()) return "";
    std::string path;
    for (const auto& [px, py] : series.points) {
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "M" : "L", x(px), y(py));
    }
    std::string svg;
    if (series.filled) {
      svg += fmt::format(R"(<path class="area s{}" d="{}L{:.1f},{:.1f}L{:.1f},{:.1f}Z"/>)",
                         number + 1, path, x(series.points.back().first), y(0),
                         x(series.points.front().first), y(0));
    }
    return svg + fmt::format(R"(<path class="line s{}" d="{}"/>)", number + 1, path);
  }

  // Words that would lie on each other go below one another.
  std::string markers(const Scale& x) const {
    std::string svg;
    double taken_until = 0;
    double row = 0;
    for (const Marker& marker : chart_.markers) {
      const double at = x(marker.x);
      const bool to_left = at + text_width(marker.name) + 6 > canvas_.width;
      const double begin = to_left ? at - 5 - text_width(marker.name) : at + 5;
      row = begin < taken_until ? row + 15 : 0;
      taken_until = std::max(taken_until, begin + text_width(marker.name));
      svg += line_at(at, top_, at, bottom_, "mark");
      svg += text_at(to_left ? at - 5 : at + 5, top_ + 12 + row, to_left ? "end" : "start",
                     marker.name);
    }
    return svg;
  }

  std::string legend() const {
    if (!has_legend()) return "";
    std::string svg;
    double at = std::max(kLeft, text_width(chart_.y_title) + 16);
    const double y = kTitle + kSecondLine;
    for (std::size_t i = 0; i < chart_.series.size(); ++i) {
      svg += fmt::format(R"(<path class="line s{}" d="M{:.1f},{:.1f}h16"/>)", i + 1, at, y - 4);
      svg += text_at(at + 21, y, "start", chart_.series[i].name);
      at += 21 + text_width(chart_.series[i].name) + 16;
    }
    return svg;
  }

  const LineChart& chart_;
  const Canvas canvas_;
  const double top_;
  const double bottom_;
};

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::vector<double> ticks_between(double least, double most, std::size_t count) {
  const double span = std::max(most - least, 1e-9);
  const double rough = span / static_cast<double>(std::max<std::size_t>(count, 1));
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * 0.999) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double first = std::floor(least / step + 1e-9);
  const double last = std::ceil(most / step - 1e-9);
  for (double at = first; at <= last; ++at) ticks.push_back(at * step);
  if (ticks.size() < 2) ticks.push_back(ticks.back() + step);
  return ticks;
}

std::vector<double> logarithmic_ticks(double least, double most, std::size_t count) {
  const double begin = std::floor(std::log10(std::max(least, 1e-9)));
  const double end = std::ceil(std::log10(std::max(most, 1e-9)));
  const bool room = (end - begin) * 3 <= static_cast<double>(count);
  std::vector<double> ticks;
  for (double power = begin; power <= end; ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor > 1 && !room) continue;
      const double tick = factor * std::pow(10, power);
      if (tick >= least * 0.999 && tick <= most * 1.001) ticks.push_back(tick);
    }
  }
  // Within one power of ten round numbers serve better.
  return ticks.size() < 3 ? ticks_between(least, most, std::min<std::size_t>(count, 5)) : ticks;
}

std::string tick_words(double value) {
  if (value != 0 && std::abs(value) >= 1e6) return fmt::format("{:g}M", value / 1e6);
  if (std::abs(value) >= 1e4) return fmt::format("{:g}k", value / 1e3);
  // Sums of steps such as 0.1 are a little off.
  return fmt::format("{:g}", std::round(value * 1e6) / 1e6);
}

std::string draw(const LineChart& chart, const Canvas& canvas) {
  return Plot(chart, canvas).draw();
}

std::string draw(const BarChart& chart, double width) {
  double names = 40, words = 20, most = 1e-12;
  for (const Bar& bar : chart.bars) {
    names = std::max(names, text_width(bar.name) + 10);
    words = std::max(words, text_width(bar.words) + 10);
    most = std::max(most, bar.value);
  }
  names = std::min(names, width * 0.45);
  const double height =
      kTitle + kBarHeight * static_cast<double>(std::max<std::size_t>(chart.bars.size(), 1)) + 6;
  std::string svg = begin_svg(width, height, chart.title);
  if (chart.bars.empty()) svg += text_at(0, kTitle + 16, "start", "no data");
  const double room = std::max(width - names - words, 10.0);
  const auto fitting = static_cast<std::size_t>((names - 10) / kCharacter);
  for (std::size_t i = 0; i < chart.bars.size(); ++i) {
    const Bar& bar = chart.bars[i];
    const double y = kTitle + kBarHeight * static_cast<double>(i);
    const double length = std::max(room * bar.value / most, 1.0);
    svg += text_at(names - 8, y + 16, "end", cut_to_columns(bar.name, fitting));
    svg += fmt::format(
        R"(<rect class="bar s{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="18" rx="2"/>)",
        bar.series + 1, names, y + 3, length);
    svg += text_at(names + length + 6, y + 16, "start", bar.words);
  }
  return svg + "</svg>";
}

std::string draw(const HeatMap& map, double width) {
  constexpr double kRowHeight = 30;
  double names = 30;
  Extent extent;
  for (const std::string& row : map.rows) names = std::max(names, text_width(row) + 12);
  for (const auto& row : map.cells) {
    for (const auto& cell : row) {
      if (cell) extent.add(*cell);
    }
  }
  const double top = kTitle + 22;
  const double height = top + kRowHeight * static_cast<double>(map.rows.size()) + kBelow - 4;
  std::string svg = begin_svg(width, height, map.title);
  svg += text_at(0, kTitle + 10, "start", map.y_title);
  const double step =
      (width - names - 2) / static_cast<double>(std::max<std::size_t>(map.columns.size(), 1));
  const double best = map.more_is_better ? extent.most : extent.least;
  for (std::size_t r = 0; r < map.rows.size(); ++r) {
    const double y = top + kRowHeight * static_cast<double>(r);
    svg += text_at(names - 8, y + 19, "end", map.rows[r]);
    for (std::size_t c = 0; c < map.columns.size(); ++c) {
      const auto& cell = map.cells[r][c];
      const double x = names + step * static_cast<double>(c);
      const double span = std::max(extent.most - extent.least, 1e-12);
      const double share = !cell ? 0 : (*cell - extent.least) / span;
      const auto heat = static_cast<std::size_t>(std::round(
          (map.more_is_better ? share : 1 - share) * static_cast<double>(kHeatSteps - 1)));
      const std::string kind = cell ? fmt::format("heat h{}", heat) : "heat none";
      svg += fmt::format(
          R"(<rect class="{}{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"/>)",
          kind, cell && *cell == best ? " best" : "", x + 1, y + 1, step - 2, kRowHeight - 2);
      const std::string words = cell ? fmt::format("{:.4g}", *cell) : "–";
      const bool fits = text_width(words) < step - 2;
      const bool on_dark = cell && heat > kHeatSteps / 2;
      if (fits)
        svg += text_at(x + step / 2, y + 19, "middle", words, on_dark ? "onheat" : "inheat");
    }
  }
  const double below = top + kRowHeight * static_cast<double>(map.rows.size());
  for (std::size_t c = 0; c < map.columns.size(); ++c) {
    svg += text_at(names + step * (static_cast<double>(c) + 0.5), below + 15, "middle",
                   map.columns[c]);
  }
  return svg + text_at(names + (width - names) / 2, below + 32, "middle", map.x_title) + "</svg>";
}

}  // namespace batchproxy::bench
