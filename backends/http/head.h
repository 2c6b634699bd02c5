// backends/http/head.h - the strict HTTP/1 head reader, for requests and responses.
//
// Sans-io: bytes in, views out. What has two readings is refused (RFC 9112 with no leniency), so
// that no two parties can disagree about where a message ends:
//  - every line ends in CRLF; no other CR, LF, NUL or control byte; no folded lines
//  - a field name is a token with its colon at once
//  - at most one Content-Length (digits only); at most one Transfer-Encoding, exactly `chunked`,
//    never both, never in HTTP/1.0
//  - a request names exactly one valid Host in HTTP/1.1
//
// Threading: pure functions, any thread. Views point into the bytes given.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "batcher/base/error.h"

namespace batchproxy::http {

struct HeadLimits {
  std::size_t line = 8 * 1024;   // request line, bytes
  std::size_t head = 16 * 1024;  // the whole head, bytes
  std::size_t fields = 100;
};

inline constexpr HeadLimits kRequestLimits{};
inline constexpr HeadLimits kResponseLimits{8 * 1024, 32 * 1024, 256};

struct Field {
  std::string_view name;
  std::string_view value;  // without surrounding blanks
};

// How a message frames its body.
struct Framing {
  bool chunked = false;
  std::optional<std::uint64_t> content_length;
};

// The fields of a head, in order, plus those that concern the connection, read out once.
struct Fields {
  static constexpr std::size_t kMax = 256;

  std::array<Field, kMax> list;
  std::size_t count = 0;
  Framing framing;
  bool connection_close = false;
  bool connection_keep_alive = false;

  const Field* begin() const { return list.data(); }
  const Field* end() const { return list.data() + count; }
  // The first value of `name` (case-insensitive), or an empty view.
  std::string_view get(std::string_view name) const;
};

struct RequestHead {
  std::string_view method;
  std::string_view target;  // origin-form, or `*`
  int minor_version = 1;    // HTTP/1.x
  bool expects_continue = false;
  Fields fields;

  std::string_view path() const { return target.substr(0, target.find('?')); }
  bool keep_alive() const;
  bool has_body() const { return fields.framing.chunked || fields.framing.content_length > 0u; }
};

struct ResponseHead {
  unsigned status = 0;
  int minor_version = 1;
  Fields fields;

  bool keep_alive() const;
};

// Length of the head at the start of `bytes` including its final empty line, or nothing while it is
// not there yet. `searched` is how many bytes earlier calls have looked at already.
std::optional<std::size_t> find_head_end(std::string_view bytes, std::size_t searched);

// Too much without an end? What to answer when `bytes` have no complete head yet.
std::optional<Error> check_partial_head(std::string_view bytes, const HeadLimits& limits);

// `head` is exactly one head, as measured by find_head_end(). One empty line before the request
// line is skipped. The result is filled in place: Fields is large.
std::optional<Error> parse_request_head(std::string_view head, const HeadLimits& limits,
                                        RequestHead& out);
std::optional<Error> parse_response_head(std::string_view head, const HeadLimits& limits,
                                         ResponseHead& out);

// Whether `c` may stand in a token (RFC 9110 5.6.2): a method, a field's name.
bool is_token_byte(char c);

// ASCII case-insensitive comparison, as HTTP compares names.
inline bool iequals(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c; };
  const auto same = [lower](char x, char y) { return x == y || lower(x) == lower(y); };
  return std::ranges::equal(a, b, same);
}

}  // namespace batchproxy::http
