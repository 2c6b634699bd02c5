// configs/yaml/mistakes.cc - one function per slip.
#include "configs/yaml/mistakes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

namespace batchproxy {
namespace {

constexpr auto kNone = std::string_view::npos;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::size_t indentation(std::string_view line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

bool says_nothing(std::string_view line) {
  const std::size_t at = indentation(line);
  return at == line.size() || line[at] == '#';
}

// Whether the line holds "key: value" or "key:".
bool has_colon(std::string_view line) {
  return line.find(": ") != kNone || line.ends_with(':');
}

Slip slip(std::size_t line_index, std::size_t column_index, std::string reason) {
  return {static_cast<int>(line_index + 1), static_cast<int>(column_index + 1), std::move(reason)};
}

std::optional<Slip> conflict_mark(const std::vector<std::string_view>& lines) {
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].starts_with("<<<<<<< ") || lines[i] == "=======" ||
        lines[i].starts_with(">>>>>>> ")) {
      return slip(i, 0, "a mark of a merge conflict; resolve it and remove its marks");
    }
  }
  return std::nullopt;
}

std::optional<Slip> odd_indentation(std::string_view line, std::size_t index) {
  const std::size_t at = indentation(line);
  if (line.substr(at).starts_with('\t')) {
    return slip(index, at, "a tab in the indentation; use spaces");
  }
  // What word processors and web pages put in place of blanks.
  constexpr std::array kLookAlikes{std::string_view("\u00a0"), std::string_view("\u2003"),
                                   std::string_view("\u200b"), std::string_view("\u3000")};
  for (const std::string_view blank : kLookAlikes) {
    if (line.substr(at).starts_with(blank)) {
      return slip(index, at,
                  "a character in the indentation looks like a blank and is none; use spaces");
    }
  }
  return std::nullopt;
}

// "illegal map value": a second colon in a line, or a first one where no key was expected.
std::optional<Slip> odd_colon(const std::vector<std::string_view>& lines, std::size_t index,
                              std::size_t column) {
  const std::string_view line = lines[index];
  if (line.substr(0, column).find(": ") != kNone) {
    return slip(index, column, "a text that holds ': ' needs quotes around it");
  }
  std::size_t above = index;
  while (above > 0 && says_nothing(lines[--above])) {
  }
  if (above == index || says_nothing(lines[above])) return std::nullopt;
  if (!has_colon(lines[above])) {
    return slip(above, indentation(lines[above]),
                "a key must be followed by a colon and a blank, as in `batch_size: 16`");
  }
  if (indentation(line) > indentation(lines[above])) {
    return slip(index, indentation(line),
                "deeper than the line above, whose key has a value already; begin it in column " +
                    std::to_string(indentation(lines[above]) + 1));
  }
  return std::nullopt;
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
}

// The "key:" of a "key:value" that a line break, and so a blank, has joined to the value before it.
std::string_view joined_key(std::string_view value) {
  for (std::size_t colon = value.find(':'); colon != kNone; colon = value.find(':', colon + 1)) {
    std::size_t begin = colon;
    while (begin > 0 && is_word(value[begin - 1])) --begin;
    const bool follows_blank = begin > 0 && value[begin - 1] == ' ';
    const bool has_value = colon + 1 < value.size() && value[colon + 1] != '/';
    if (begin < colon && follows_blank && has_value && value[colon + 1] != ' ') {
      return value.substr(begin, colon + 1 - begin);
    }
  }
  return {};
}

bool begins_with_curly_quote(std::string_view value) {
  constexpr std::array kQuotes{std::string_view("\u201c"), std::string_view("\u201d"),
                               std::string_view("\u201e"), std::string_view("\u2018"),
                               std::string_view("\u2019")};
  return std::ranges::any_of(kQuotes, [&](auto quote) { return value.starts_with(quote); });
}

// Bytes of the UTF-8 character at the beginning of `text`, or 0.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned lead = byte(0);
  const std::size_t length = lead < 0x80                    ? 1
                             : lead >= 0xC2 && lead <= 0xDF ? 2
                             : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0u) != 0x80u) return 0;
  }
  return length;
}

}  // namespace

std::optional<Slip> find_slip(std::string_view text, int line, int column,
                              std::string_view complaint) {
  const std::vector<std::string_view> lines = lines_of(text);
  const auto index = static_cast<std::size_t>(line - 1);
  const auto at = static_cast<std::size_t>(column - 1);
  if (auto mark = conflict_mark(lines)) return mark;
  if (index >= lines.size()) return std::nullopt;
  if (auto odd = odd_indentation(lines[index], index)) return odd;
  if (complaint == "illegal map value") return odd_colon(lines, index, at);
  const std::string_view rest = lines[index].substr(std::min(at, lines[index].size()));
  if (complaint == "unknown token" && !rest.empty()) {
    return slip(
        index, at,
        "no value may begin with '" + std::string(rest.substr(0, 1)) + "'; put it in quotes");
  }
  if (complaint == "the referenced anchor is not defined") {
    return slip(index, at,
                "a '*' refers to an anchor, and there is none of this name; a text that begins "
                "with '*' needs quotes");
  }
  if (complaint.starts_with("unknown escape character")) {
    return slip(index, at,
                "inside double quotes a '\\' begins an escape, and this is none; use single "
                "quotes, or '\\\\'");
  }
  return std::nullopt;
}

std::optional<Slip> find_foreign_byte(std::string_view text) {
  constexpr std::array kMarks{std::string_view("\xFF\xFE", 2), std::string_view("\xFE\xFF", 2),
                              std::string_view("\0\0\xFE\xFF", 4)};
  if (std::ranges::any_of(kMarks, [&](auto mark) { return text.starts_with(mark); })) {
    return std::nullopt;
  }
  std::size_t line = 0;
  std::size_t column = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) {
      return slip(line, column, "a character that is not UTF-8; save the file as UTF-8");
    }
    ++column;
    if (text[i] == '\n') {
      ++line;
      column = 0;
    }
    i += length;
  }
  return std::nullopt;
}

std::string_view glued_key(std::string_view key) {
  const std::size_t colon = key.find(':');
  if (colon == kNone || colon == 0 || !std::ranges::all_of(key.substr(0, colon), is_word)) {
    return {};
  }
  return key.substr(0, colon + 1);
}

std::string odd_text(std::string_view value) {
  if (begins_with_curly_quote(value)) return " (curly quotes are no quotes to YAML; use \" or ')";
  if (value.find("${") != kNone) return " (variables of the environment are not filled in)";
  if (const std::string_view key = joined_key(value); !key.empty()) {
    return " (a blank is missing after '" + std::string(key) + "')";
  }
  return "";
}

std::string odd_value(std::string_view value) {
  if (std::string odd = odd_text(value); !odd.empty()) return odd;
  if (value.starts_with('$')) return " (variables of the environment are not filled in)";
  if (value.find("# ") != kNone) return " (a comment needs a blank before its '#')";
  if (value.find(" = ") != kNone) return " (write `key: value`, not `key = value`)";
  if (value.size() > 1 && value[0] == '-' && std::isalpha(static_cast<unsigned char>(value[1]))) {
    return " (an item of a list begins with '- ', with a blank)";
  }
  return "";
}

}  // namespace batchproxy
