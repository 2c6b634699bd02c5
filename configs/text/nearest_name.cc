// configs/text/nearest_name.cc - Damerau-Levenshtein distance (optimal string alignment).
#include "configs/text/nearest_name.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace batchproxy {
namespace {

constexpr std::size_t kShortName = 5;

bool same_letter(char left, char right) {
  const auto fold = [](char c) {
    return c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  };
  return fold(left) == fold(right);
}

}  // namespace

std::size_t edit_distance(std::string_view left, std::string_view right) {
  // Three rows of the usual table suffice: a swap looks two rows back.
  std::vector<std::size_t> before_last(right.size() + 1);
  std::vector<std::size_t> last(right.size() + 1);
  std::vector<std::size_t> row(right.size() + 1);
  for (std::size_t j = 0; j <= right.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (same_letter(left[i - 1], right[j - 1]) ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && same_letter(left[i - 1], right[j - 2]) &&
                           same_letter(left[i - 2], right[j - 1]);
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[right.size()];
}

std::optional<std::string_view> nearest_name(std::string_view name,
                                             const std::vector<std::string_view>& candidates) {
  // Longer than any near miss; keeps the table small whatever a file holds.
  if (name.size() > 100) return std::nullopt;
  std::optional<std::string_view> nearest;
  std::size_t best = 3;
  for (const std::string_view candidate : candidates) {
    const std::size_t allowed = candidate.size() <= kShortName ? 1 : 2;
    const std::size_t distance = edit_distance(name, candidate);
    if (distance <= allowed && distance < best) {
      nearest = candidate;
      best = distance;
    }
  }
  return nearest;
}

std::string suggestion(std::string_view name, const std::vector<std::string_view>& candidates) {
  const auto nearest = nearest_name(name, candidates);
  return nearest ? "; did you mean '" + std::string(*nearest) + "'?" : "";
}

std::string join(const std::vector<std::string_view>& words) {
  std::string text;
  for (const std::string_view word : words) {
    if (!text.empty()) text += ", ";
    text += word;
  }
  return text;
}

}  // namespace batchproxy
