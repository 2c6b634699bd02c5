// backends/json/form_scan.cc - see form_scan.h.
#include "backends/json/form_scan.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "backends/http/head.h"
#include "configs/text/trim.h"

namespace batchproxy {

namespace {

constexpr std::size_t kMaxParts = 100;
constexpr std::size_t kMaxHead = 4 * 1024;   // bytes, of one part
constexpr std::size_t kMaxValue = 4 * 1024;  // bytes, of a field that is read
constexpr std::size_t kMaxBoundary = 70;     // RFC 2046 5.1.1

// Takes what comes up to a `;` off the front of `rest`; one within quotes is no end.
std::string_view take_parameter(std::string_view& rest) {
  bool quoted = false;
  std::size_t end = 0;
  for (; end < rest.size() && (quoted || rest[end] != ';'); ++end) {
    if (rest[end] == '"') quoted = !quoted;
    if (quoted && rest[end] == '\\') ++end;
  }
  const std::string_view parameter = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return trim(parameter);
}

// The value of parameter `name` in `type; a=b; name="value"`, without its quotes. One with escapes
// is none of those that we look for.
std::optional<std::string_view> parameter(std::string_view field, std::string_view name) {
  take_parameter(field);  // the type
  while (!field.empty()) {
    const std::string_view one = take_parameter(field);
    const std::size_t equals = one.find('=');
    if (equals == std::string_view::npos || !http::iequals(one.substr(0, equals), name)) continue;
    std::string_view value = one.substr(equals + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    return value;
  }
  return std::nullopt;
}

bool has_type(std::string_view field, std::string_view type) {
  return http::iequals(take_parameter(field), type);
}

// glibc's skips ahead by a needle's length: a body may be tens of MiB of sound.
std::size_t find(std::string_view body, std::string_view needle, std::size_t from) {
  const std::string_view rest = body.substr(from);
  const void* found = ::memmem(rest.data(), rest.size(), needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return from + static_cast<std::size_t>(static_cast<const char*>(found) - rest.data());
}

struct Part {
  std::string_view head;  // its lines, each with its CRLF
  std::string_view content;
};

// The name of the form's field that `part` gives the value of; empty for a file.
std::string_view field_of(const Part& part) {
  for (std::string_view rest = part.head; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    rest.remove_prefix(std::min(line.size() + 2, rest.size()));
    const std::size_t colon = line.find(':');
    if (!http::iequals(line.substr(0, colon), "content-disposition")) continue;
    const std::string_view value = trim(line.substr(colon + 1));
    const bool field = has_type(value, "form-data") && !parameter(value, "filename") &&
                       !parameter(value, "filename*");
    return field ? parameter(value, "name").value_or("") : "";
  }
  return {};
}

// The parts of a body, one after the other.
class Parts {
 public:
  Parts(std::string_view body, std::string_view boundary)
      : body_(body), delimiter_("\r\n--" + std::string(boundary)) {
    // The first delimiter has no line before it when there is no preamble.
    const std::string_view first = std::string_view(delimiter_).substr(2);
    if (body.starts_with(first)) {
      pos_ = first.size();
      more_ = true;
    } else if (const std::size_t at = find(body, delimiter_, 0); at != std::string_view::npos) {
      pos_ = at + delimiter_.size();
      more_ = true;
    }
  }

  // Nothing after the last one, and where the body is no form any more.
  std::optional<Part> next() {
    if (!std::exchange(more_, false)) return std::nullopt;
    // Blanks may follow a delimiter; `--` follows the last one.
    while (pos_ < body_.size() && (body_[pos_] == ' ' || body_[pos_] == '\t')) ++pos_;
    if (body_.substr(pos_, 2) != "\r\n") return std::nullopt;
    // From the delimiter's own line end on: a part without a head has an empty line at once.
    const std::size_t head_end = body_.substr(pos_, kMaxHead).find("\r\n\r\n");
    if (head_end == std::string_view::npos) return std::nullopt;
    const std::size_t begin = pos_ + head_end + 4;
    // The content of an empty part ends with the line end of its head.
    const std::size_t end = find(body_, delimiter_, begin - 2);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view head = body_.substr(pos_ + 2, head_end);
    const std::string_view content = end < begin ? "" : body_.substr(begin, end - begin);
    pos_ = end + delimiter_.size();
    more_ = true;
    return Part{head, content};
  }

 private:
  const std::string_view body_;
  const std::string delimiter_;
  std::size_t pos_ = 0;
  bool more_ = false;
};

bool is_true(std::string_view value) {
  constexpr std::array<std::string_view, 6> kTrue = {"true", "1", "yes", "on", "t", "y"};
  return std::ranges::any_of(kTrue,
                             [&](std::string_view word) { return http::iequals(value, word); });
}

}  // namespace

FormScan scan_form(std::string_view content_type, std::string_view body) {
  if (!has_type(content_type, "multipart/form-data")) return {};
  const std::string_view boundary = parameter(content_type, "boundary").value_or("");
  if (boundary.empty() || boundary.size() > kMaxBoundary) return {};
  FormScan scan;
  int models = 0;
  Parts parts(body, boundary);
  for (std::size_t count = 0; count < kMaxParts; ++count) {
    const std::optional<Part> part = parts.next();
    if (!part) break;
    if (part->content.size() > kMaxValue) continue;
    const std::string_view name = field_of(*part);
    if (name == "stream") scan.streaming = is_true(part->content);
    if (name != "model") continue;
    ++models;
    scan.model = part->content;
  }
  if (models > 1) scan.model = {};  // which one counts is the engine's to say
  return scan;
}

}  // namespace batchproxy
