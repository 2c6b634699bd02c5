// launcher/agent/agent_line.cc - see agent_line.h.
#include "launcher/agent/agent_line.h"

#include <algorithm>

#include "configs/text/number.h"

namespace batchproxy {
namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";

bool must_be_escaped(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '%' || c == '+' || c == '=';
}

void append_escaped(std::string& to, std::string_view text) {
  for (const char c : text) {
    if (c == ' ') {
      to += '+';
    } else if (must_be_escaped(c)) {
      const auto byte = static_cast<unsigned char>(c);
      to += {'%', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      to += c;
    }
  }
}

std::optional<std::string> unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      plain += ' ';
    } else if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const std::size_t high = kHex.find(text[i + 1]);
      const std::size_t low = kHex.find(text[i + 2]);
      if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
      plain += static_cast<char>(high << 4 | low);
      i += 2;
    } else if (must_be_escaped(text[i])) {
      return std::nullopt;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

}  // namespace

std::string_view AgentLine::operator[](std::string_view name) const {
  for (const auto& [its_name, value] : fields) {
    if (its_name == name) return value;
  }
  return {};
}

std::optional<int> AgentLine::number(std::string_view name) const {
  const auto value = number_in<int>((*this)[name]);
  return value && *value >= 0 ? value : std::nullopt;
}

std::vector<std::string> AgentLine::all(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [its_name, value] : fields) {
    if (its_name == name) values.push_back(value);
  }
  return values;
}

std::string to_text(const AgentLine& line) {
  std::string text = line.word;
  for (const auto& [name, value] : line.fields) {
    text += " " + name + "=";
    append_escaped(text, value);
  }
  return text + "\n";
}

std::optional<AgentLine> parse_agent_line(std::string_view text) {
  const std::size_t blank = std::min(text.find(' '), text.size());
  AgentLine line{std::string(text.substr(0, blank))};
  if (!is_name(line.word)) return std::nullopt;
  text.remove_prefix(blank);
  while (!text.empty()) {
    text.remove_prefix(1);
    const std::string_view field = text.substr(0, text.find(' '));
    text.remove_prefix(field.size());
    const std::size_t equals = field.find('=');
    if (equals == std::string_view::npos || !is_name(field.substr(0, equals))) return std::nullopt;
    auto value = unescaped(field.substr(equals + 1));
    if (!value) return std::nullopt;
    line.fields.emplace_back(field.substr(0, equals), *std::move(value));
  }
  return line;
}

}  // namespace batchproxy
