// launcher/diagnosis/shape.cc - finding a sentence with holes.
#include "launcher/diagnosis/shape.h"

#include <algorithm>
#include <string>

#include "configs/text/number.h"

namespace batchproxy {
namespace {

constexpr std::string_view kHoles = "#@*";

// "476,016" is 476016; a sentence's full stop behind it does not count.
std::optional<double> take_number(std::string_view line, std::size_t& at) {
  const std::size_t begin = at;
  std::size_t end = line.find_first_not_of("0123456789.,", begin + (line.substr(at, 1) == "-"));
  end = std::min(end, line.size());
  while (end > begin && (line[end - 1] == '.' || line[end - 1] == ',')) --end;
  std::string digits(line.substr(begin, end - begin));
  std::erase(digits, ',');
  at = end;
  return number_in<double>(digits);
}

// Whether the rest of the shape is found from `at` on.
bool match_rest(std::string_view line, std::size_t at, std::string_view shape, Match& found) {
  while (!shape.empty()) {
    const char hole = shape.front();
    const std::size_t size = kHoles.find(hole) == std::string_view::npos
                                 ? std::min(shape.find_first_of(kHoles), shape.size())
                                 : 1;
    const std::string_view part = shape.substr(0, size);
    shape.remove_prefix(size);
    if (hole == '#') {
      const auto number = take_number(line, at);
      if (!number || found.count == found.numbers.size()) return false;
      found.numbers[found.count++] = *number;
    } else if (hole == '@' || hole == '*') {
      const std::string_view next = shape.substr(0, shape.find_first_of(kHoles));
      const std::size_t end = next.empty() ? line.size() : line.find(next, at);
      if (end == std::string_view::npos) return false;
      if (hole == '@' && found.text.empty()) found.text = line.substr(at, end - at);
      at = end;
    } else {
      if (!line.substr(at).starts_with(part)) return false;
      at += part.size();
    }
  }
  found.end = at;
  return true;
}

}  // namespace

std::optional<Match> match(std::string_view line, std::string_view shape) {
  const std::string_view begin = shape.substr(0, shape.find_first_of(kHoles));
  for (std::size_t at = line.find(begin); at != std::string_view::npos;
       at = line.find(begin, at + 1)) {
    Match found;
    if (match_rest(line, at + begin.size(), shape.substr(begin.size()), found)) return found;
  }
  return std::nullopt;
}

}  // namespace batchproxy
