// configs/yaml/writer.cc - see writer.h.
#include "configs/yaml/writer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <string_view>

#include "configs/yaml/json_text.h"

namespace batchproxy {
namespace {

constexpr std::size_t kStep = 2;  // columns

bool is_plain_word(std::string_view text) {
  return !text.empty() && text.front() != '-' && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/';
  });
}

// JSON's strings are YAML's in double quotes.
std::string quoted(const std::string& text) {
  Yaml scalar = Yaml::scalar(text, {});
  scalar.plain = false;
  return to_json(scalar);
}

std::string written_key(const std::string& key) {
  return is_plain_word(key) ? key : quoted(key);
}

std::string written_scalar(const Yaml& node) {
  if (node.is_map()) return "{}";
  if (node.is_list()) return "[]";
  if (node.is_null()) return "";
  // A text that stood without quotes may do so again, unless it went over several lines.
  return node.plain && node.text.find('\n') == std::string::npos ? node.text : quoted(node.text);
}

bool is_block(const Yaml& node) {
  return !node.items.empty() || !node.entries.empty();
}

void write(const Yaml& node, std::size_t indent, std::string& text) {
  const std::string margin(indent, ' ');
  for (const YamlEntry& entry : node.entries) {
    text += margin + written_key(entry.key) + ":";
    if (is_block(entry.value)) {
      text += '\n';
      write(entry.value, indent + kStep, text);
    } else {
      const std::string value = written_scalar(entry.value);
      text += (value.empty() ? "" : " ") + value + "\n";
    }
  }
  for (const Yaml& item : node.items) {
    std::string block;
    if (is_block(item)) {
      write(item, indent + kStep, block);
      block.erase(0, indent + kStep);  // its first line stands behind the dash
    } else {
      block = written_scalar(item) + "\n";
    }
    text += margin + "- " + block;
  }
}

}  // namespace

std::string to_yaml(const Yaml& root) {
  if (!is_block(root)) return written_scalar(root) + "\n";
  std::string text;
  write(root, 0, text);
  return text;
}

}  // namespace batchproxy
