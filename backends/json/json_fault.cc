// backends/json/json_fault.cc - see json_fault.h.
#include "backends/json/json_fault.h"

#include <algorithm>
#include <cstdint>

#include <boost/json/basic_parser_impl.hpp>

namespace batchproxy {

namespace json = boost::json;

namespace {

constexpr std::size_t kMaxDepth = 256;
constexpr std::size_t kShown = 16;  // bytes

// Takes what the parser finds, and keeps nothing.
struct Nobody {
  using Ec = json::error_code;
  static constexpr std::size_t max_object_size = SIZE_MAX;
  static constexpr std::size_t max_array_size = SIZE_MAX;
  static constexpr std::size_t max_key_size = SIZE_MAX;
  static constexpr std::size_t max_string_size = SIZE_MAX;

  bool on_document_begin(Ec&) { return true; }
  bool on_document_end(Ec&) { return true; }
  bool on_object_begin(Ec&) { return true; }
  bool on_object_end(std::size_t, Ec&) { return true; }
  bool on_array_begin(Ec&) { return true; }
  bool on_array_end(std::size_t, Ec&) { return true; }
  bool on_key_part(std::string_view, std::size_t, Ec&) { return true; }
  bool on_key(std::string_view, std::size_t, Ec&) { return true; }
  bool on_string_part(std::string_view, std::size_t, Ec&) { return true; }
  bool on_string(std::string_view, std::size_t, Ec&) { return true; }
  bool on_number_part(std::string_view, Ec&) { return true; }
  bool on_int64(std::int64_t, std::string_view, Ec&) { return true; }
  bool on_uint64(std::uint64_t, std::string_view, Ec&) { return true; }
  bool on_double(double, std::string_view, Ec&) { return true; }
  bool on_bool(bool, Ec&) { return true; }
  bool on_null(Ec&) { return true; }
  bool on_comment_part(std::string_view, Ec&) { return true; }
  bool on_comment(std::string_view, Ec&) { return true; }
};

// Whether half of a surrogate pair has just been read: that something else than the other half
// follows is the receiver's business.
bool is_behind_surrogate(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, at).substr(at - std::min<std::size_t>(at, 7));
  return before.find("\\ud") != std::string_view::npos ||
         before.find("\\uD") != std::string_view::npos;
}

// What this parser refuses and we pass on.
bool is_about_values(const json::error_code& error) {
  return error == json::error::too_deep || error == json::error::exponent_overflow ||
         error == json::error::expected_utf16_escape ||
         error == json::error::illegal_leading_surrogate ||
         error == json::error::illegal_trailing_surrogate;
}

}  // namespace

std::optional<std::size_t> find_json_fault(std::string_view text) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::basic_parser<Nobody> parser(options);
  json::error_code error;
  const std::size_t at = parser.write_some(false, text.data(), text.size(), error);
  if (!error && at == text.size()) return std::nullopt;
  if (is_about_values(error) || is_behind_surrogate(text, at)) return std::nullopt;
  return at;
}

std::string shown_at(std::string_view text, std::size_t at) {
  const std::string_view rest = text.substr(std::min(at, text.size()));
  if (rest.empty()) return "the end";
  const auto is_shown = [](char c) { return c > ' ' && c < '\x7f'; };
  if (!is_shown(rest.front())) {
    constexpr std::string_view kHex = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(rest.front());
    return std::string("the byte 0x") + kHex[byte >> 4] + kHex[byte & 15];
  }
  std::size_t size = 1;  // up to where the next value could begin
  while (size < std::min(kShown, rest.size()) && is_shown(rest[size]) &&
         std::string_view(",:]}").find(rest[size]) == std::string_view::npos) {
    ++size;
  }
  return "`" + std::string(rest.substr(0, size)) + "`";
}

}  // namespace batchproxy
