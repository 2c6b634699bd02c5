// configs/yaml/values.cc - the rules of each type.
#include "configs/yaml/values.h"

#include <array>
#include <charconv>
#include <cmath>
#include <system_error>

#include "configs/text/home_path.h"
#include "configs/text/nearest_name.h"
#include "configs/text/number.h"
#include "configs/yaml/mistakes.h"

namespace batchproxy {
namespace {

template <class Number>
std::optional<Number> parse_whole_text(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  return number_in<Number>(without_underscores(text));
}

std::string range_text(const Limits& limits) {
  return "from " + number_text(limits.min) + " to " + number_text(limits.max);
}

bool in_range(double value, const Limits& limits) {
  return value >= limits.min && value <= limits.max;
}

struct Unit {
  std::string_view name;
  double seconds;
};
constexpr std::array kUnits{Unit{"ms", 0.001}, Unit{"s", 1}, Unit{"m", 60}, Unit{"min", 60},
                            Unit{"h", 3600}};

// "500ms" -> " (the unit is seconds: write 0.5)".
std::string unit_hint(std::string_view text) {
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    std::string_view digits = text.substr(0, text.size() - unit.name.size());
    while (digits.ends_with(' ')) digits.remove_suffix(1);
    if (const auto number = parse_number(digits)) {
      return " (the unit is seconds: write " + number_text(*number * unit.seconds) + ")";
    }
  }
  return "";
}

bool is_port(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// The text as its form is meant.
std::string in_form(const std::string& text, Limits::Form form) {
  if (form == Limits::Form::kPath) return with_home(text);
  const std::size_t colon = text.starts_with(':') ? 1 : 0;
  const bool port_alone = form == Limits::Form::kAddress && is_port(text.substr(colon));
  return port_alone ? "127.0.0.1:" + text.substr(colon) : text;
}

}  // namespace

std::optional<bool> parse_bool(std::string_view text) {
  constexpr std::array kTrue{"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"};
  constexpr std::array kFalse{"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"};
  for (const std::string_view word : kTrue) {
    if (text == word) return true;
  }
  for (const std::string_view word : kFalse) {
    if (text == word) return false;
  }
  return std::nullopt;
}

std::string without_underscores(std::string_view text) {
  std::string digits(text);
  const std::size_t sign = digits.starts_with('-') || digits.starts_with('+') ? 1 : 0;
  const bool is_number = digits.size() > sign && digits[sign] >= '0' && digits[sign] <= '9' &&
                         digits.find_first_not_of("0123456789_.", sign) == std::string::npos;
  if (is_number) std::erase(digits, '_');
  return digits;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  return parse_whole_text<std::int64_t>(text);
}

std::optional<double> parse_number(std::string_view text) {
  const auto value = parse_whole_text<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::string number_text(double value) {
  std::array<char, 400> buffer{};  // the longest double in fixed notation has 309 digits
  const auto [end, problem] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
  return problem == std::errc() ? std::string(buffer.data(), end) : "?";
}

std::string found(const Yaml& node) {
  constexpr std::size_t kLongest = 60;
  switch (node.kind) {
    case Yaml::Kind::kNull:
      return "nothing";
    case Yaml::Kind::kList:
      return "a list";
    case Yaml::Kind::kMap:
      return "a mapping";
    case Yaml::Kind::kScalar:
      break;
  }
  std::string shown = node.text.substr(0, kLongest);
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return "'" + shown + (node.text.size() > kLongest ? "...'" : "'");
}

void report_unexpected(const Yaml& node, const std::string& path, std::string_view expected,
                       Findings& findings) {
  findings.error(node.place, path + ": expected " + std::string(expected) + ", found " +
                                 found(node) + (node.plain ? odd_value(node.text) : ""));
}

std::optional<bool> read_bool(const Yaml& node, const Expectation& expected, Findings& findings) {
  const auto value = node.is_scalar() ? parse_bool(node.text) : std::nullopt;
  if (!value) report_unexpected(node, expected.path, "true or false", findings);
  return value;
}

std::optional<std::int64_t> read_integer(const Yaml& node, const Expectation& expected,
                                         Findings& findings) {
  const auto value = node.is_scalar() ? parse_integer(node.text) : std::nullopt;
  if (value && in_range(static_cast<double>(*value), expected.limits)) return value;
  report_unexpected(node, expected.path, "a whole number " + range_text(expected.limits), findings);
  return std::nullopt;
}

std::optional<double> read_number(const Yaml& node, const Expectation& expected,
                                  Findings& findings) {
  const auto value = node.is_scalar() ? parse_number(node.text) : std::nullopt;
  if (value && in_range(*value, expected.limits)) return value;
  report_unexpected(node, expected.path, "a number " + range_text(expected.limits), findings);
  return std::nullopt;
}

std::optional<Seconds> read_seconds(const Yaml& node, const Expectation& expected,
                                    Findings& findings) {
  const auto value = node.is_scalar() ? parse_number(node.text) : std::nullopt;
  if (value && in_range(*value, expected.limits)) return Seconds(*value);
  findings.error(node.place, expected.path + ": expected a number of seconds " +
                                 range_text(expected.limits) + ", found " + found(node) +
                                 (node.is_scalar() ? unit_hint(node.text) : "") +
                                 (node.plain ? odd_value(node.text) : ""));
  return std::nullopt;
}

std::optional<std::string> read_string(const Yaml& node, const Expectation& expected,
                                       Findings& findings) {
  const auto& words = expected.limits.words;
  if (!node.is_scalar()) {
    report_unexpected(node, expected.path, "text", findings);
    return std::nullopt;
  }
  for (const std::string_view word : words) {
    if (node.text == word) return node.text;
  }
  if (words.empty()) {
    // Only a warning: the key may be one that the workers use and we do not.
    const std::string odd = node.plain ? odd_text(node.text) : "";
    if (!odd.empty()) {
      findings.warning(node.place,
                       expected.path + ": " + found(node) + " is probably a mistake" + odd);
    }
    return in_form(node.text, expected.limits.form);
  }
  findings.error(node.place, expected.path + ": expected one of " + join(words) + "; found " +
                                 found(node) + suggestion(node.text, words));
  return std::nullopt;
}

std::optional<std::vector<std::string>> read_strings(const Yaml& node, const Expectation& expected,
                                                     Findings& findings) {
  std::vector<std::string> strings;
  bool good = node.is_list();
  for (const Yaml& item : node.items) {
    good = good && item.is_scalar();
    strings.push_back(with_home(item.text));
  }
  if (good) return strings;
  report_unexpected(node, expected.path, "a list of text", findings);
  return std::nullopt;
}

}  // namespace batchproxy
