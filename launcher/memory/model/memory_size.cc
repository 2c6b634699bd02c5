// launcher/memory/model/memory_size.cc - see memory_size.h.
#include "launcher/memory/model/memory_size.h"

#include <cctype>

#include <fmt/format.h>

#include "configs/text/number.h"
#include "configs/text/trim.h"

namespace batchproxy {
namespace {

constexpr double kMost = 1e18;  // a million TB

// What one of `unit` is in bytes; 0 for a word that is no unit.
double bytes_of(std::string_view unit) {
  if (unit.empty() || unit == "B" || unit == "b") return 1;
  const std::size_t power = std::string_view("kmgt").find(
      static_cast<char>(std::tolower(static_cast<unsigned char>(unit.front()))));
  if (power == std::string_view::npos) return 0;
  const std::string_view rest = unit.substr(1);
  const bool is_capital = std::isupper(static_cast<unsigned char>(unit.front())) != 0;
  double thousand = 0;
  if (rest == "iB" || rest == "ib" || rest == "i") {
    thousand = 1024;
  } else if (rest.empty()) {
    thousand = is_capital ? 1024 : 1000;
  } else if (rest == "B" || rest == "b") {
    thousand = 1000;
  }
  double bytes = thousand;
  for (std::size_t i = 0; i < power; ++i) bytes *= thousand;
  return bytes;
}

}  // namespace

std::optional<std::int64_t> parse_memory_size(std::string_view text) {
  text = trim(text);
  const std::size_t end = text.find_first_not_of("0123456789.");
  const auto number = number_in<double>(text.substr(0, end));
  if (!number) return std::nullopt;
  const double unit = end == std::string_view::npos ? 1 : bytes_of(trim(text.substr(end)));
  const double bytes = *number * unit;
  if (unit == 0 || !(bytes >= 0 && bytes <= kMost)) return std::nullopt;
  return static_cast<std::int64_t>(bytes);
}

std::string gib_text(std::int64_t bytes) {
  return fmt::format("{:.2f} GiB", to_gib(bytes));
}

std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  const std::size_t first_digit = number < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > first_digit + 3;) {
    at -= 3;
    text.insert(at, ",");
  }
  return text;
}

}  // namespace batchproxy
