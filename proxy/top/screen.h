// proxy/top/screen.h - what `batchproxy top` and `batchproxy status` show: lines, from a picture of
// the proxy and the size of the screen.
//
// Pure: no terminal, no clock. A line never has more than `width` columns: what is longer is cut,
// or goes on in the next line where there is no end below. Without a width nothing is cut. A
// character counts as one column.
//
// Threading: pure functions over values, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "batcher/base/enum_table.h"
#include "proxy/metrics/snapshot.h"

namespace batchproxy {

enum class Style : std::uint8_t { kPlain, kTitle, kHeading, kGood, kWarning, kBad, kDim, kChosen };

struct ScreenLine {
  std::string text;
  Style style = Style::kPlain;
};

struct ScreenSize {
  std::size_t width = 80;   // columns; 0: as many as it takes
  std::size_t height = 24;  // lines; 0: as many as there are
};

enum class SortBy : std::uint8_t { kName, kCondition, kInFlight, kRate, kP95, kCount };
std::string_view to_string(SortBy sort);

// What the user has chosen to see.
struct TopView {
  SortBy sort = SortBy::kName;
  std::string filter{};   // part of an engine's name, model, state or condition
  std::string chosen{};   // an engine's name
  bool detail = false;    // of that one
  std::string message{};  // above the keys, or in place of them: a question, an answer
  bool with_keys = true;  // the last line tells them
};

// The engines that are shown, in their order.
std::vector<const BackendSnapshot*> listed(const Snapshot& now, const TopView& view);

std::vector<ScreenLine> draw(const Snapshot& now, const TopView& view, ScreenSize size);

}  // namespace batchproxy
