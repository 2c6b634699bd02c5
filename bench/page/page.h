// bench/page/page.h - a page of HTML that needs nothing else: its style, light and dark, for
// screens of any width and for paper.
//
// Threading: pure functions, any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/page/chart.h"

namespace batchproxy::bench {

// The whole page. `content` is HTML; `title` and `subtitle` are text.
std::string page_of(std::string_view title, std::string_view subtitle, std::string_view content);

// A chart twice: one drawing for wide pages, one for narrow ones.
std::string drawing_of(const std::function<std::string(const Canvas&)>& draw);

// A figure in large letters with its name below.
struct Tile {
  std::string value{};
  std::string name{};
};
std::string tiles_of(const std::vector<Tile>& tiles);

// The first row is the head; the first column names each row.
std::string table_of(const std::vector<std::vector<std::string>>& rows);

std::string section_of(std::string_view heading, std::string_view content);

}  // namespace batchproxy::bench
