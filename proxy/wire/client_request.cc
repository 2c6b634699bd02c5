// proxy/wire/client_request.cc - see client_request.h.
#include "proxy/wire/client_request.h"

#include <array>

#include <xxhash.h>

#include "backends/http/head.h"

namespace batchproxy {

void RequestId::append_to(std::string& out) const {
  std::array<char, kMost> digits;
  std::size_t at = kMost;
  std::uint64_t rest = number_;
  for (; rest > 0 || at > kMost - kWidth; rest /= 16) digits[--at] = "0123456789abcdef"[rest % 16];
  out.append(*prefix_).append(digits.data() + at, kMost - at);
}

std::string RequestId::text() const {
  std::string text;
  append_to(text);
  return text;
}

std::uint64_t RequestId::hash() const {
  return XXH3_64bits_withSeed(prefix_->data(), prefix_->size(), number_);
}

void ClientRequest::append_shown_id(std::string& out) const {
  if (given_id.empty()) {
    id.append_to(out);
  } else {
    out.append(given_id);
  }
}

std::uint64_t ClientRequest::content_key() const {
  return XXH3_64bits_withSeed(body.data(), body.size(), XXH3_64bits(target.data(), target.size()));
}

std::string_view value_of(std::string_view lines, std::string_view name) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    const std::size_t colon = line.find(": ");
    if (http::iequals(line.substr(0, colon), name)) return line.substr(colon + 2);
    lines.remove_prefix(line.size() + 2);
  }
  return {};
}

std::string without_field(std::string_view lines, std::string_view name) {
  std::string kept;
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n") + 2);
    if (!http::iequals(line.substr(0, line.find(':')), name)) kept += line;
    lines.remove_prefix(line.size());
  }
  return kept;
}

}  // namespace batchproxy
