// backends/http/head.cc - see head.h.
#include "backends/http/head.h"

#include <algorithm>
#include <charconv>

#include "configs/text/number.h"
#include "configs/text/trim.h"

namespace batchproxy::http {

namespace {

constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (char c : std::string_view("!#$%&'*+-.^_`|~0123456789"
                                 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}

// Visible ASCII without what RFC 3986 keeps out of a URI.
constexpr std::array<bool, 256> make_target_table() {
  std::array<bool, 256> table{};
  for (unsigned c = 0x21; c < 0x7f; ++c) table[c] = true;
  for (char c : std::string_view("\"<>\\^`{|}#")) table[static_cast<unsigned char>(c)] = false;
  return table;
}

// HTAB, SP and everything above; 8-bit bytes are opaque data in a value, control bytes are not.
constexpr std::array<bool, 256> make_value_table() {
  std::array<bool, 256> table{};
  table['\t'] = true;
  for (unsigned c = 0x20; c < 256; ++c) table[c] = c != 0x7f;
  return table;
}

constexpr std::size_t kMaxMethod = 32;  // bytes

constexpr auto kToken = make_token_table();
constexpr auto kTarget = make_target_table();
constexpr auto kValue = make_value_table();

bool all(std::string_view text, const std::array<bool, 256>& table) {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return table[static_cast<unsigned char>(c)]; });
}

bool is_token(std::string_view text) {
  return !text.empty() && all(text, kToken);
}

Error bad(std::string message) {
  return {Errc::kBadHttp, "Malformed HTTP: " + std::move(message)};
}

// Takes one line off the front of `rest`, without its CRLF; a bare CR or LF is not a line end.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const std::size_t end = rest.find("\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 2);
  return line;
}

bool valid_host(std::string_view host) {
  if (host.empty()) return false;
  std::string_view port;
  if (host.front() == '[') {
    const std::size_t close = host.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    const std::string_view address = host.substr(1, close - 1);
    if (address.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) {
      return false;
    }
    port = host.substr(close + 1);
    if (!port.empty() && port.front() != ':') return false;
  } else {
    const std::size_t colon = host.find(':');
    const std::string_view name = host.substr(0, colon);
    if (name.empty()) return false;
    if (colon != std::string_view::npos) port = host.substr(colon);
    for (char c : name) {
      const auto u = static_cast<unsigned char>(c);
      if (!kTarget[u] || std::string_view("/?@[],").find(c) != std::string_view::npos) return false;
    }
  }
  if (port.size() > 6) return false;
  return port.empty() || port.substr(1).find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<std::uint64_t> parse_content_length(std::string_view value) {
  if (value.empty() || value.size() > 19) return std::nullopt;
  if (value.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  return number_in<std::uint64_t>(value);
}

void read_connection(std::string_view value, Fields& fields) {
  while (!value.empty()) {
    const std::size_t comma = value.find(',');
    const std::string_view option = trim(value.substr(0, comma));
    if (iequals(option, "close")) fields.connection_close = true;
    if (iequals(option, "keep-alive")) fields.connection_keep_alive = true;
    value = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
  }
}

// Notes what a field means for the message's framing; refuses what could be read in two ways.
std::optional<Error> note_framing(const Field& field, int minor_version, Fields& fields) {
  if (iequals(field.name, "content-length")) {
    if (fields.framing.content_length) return bad("more than one Content-Length");
    fields.framing.content_length = parse_content_length(field.value);
    if (!fields.framing.content_length) return bad("Content-Length is not a number");
  } else if (iequals(field.name, "transfer-encoding")) {
    if (fields.framing.chunked) return bad("more than one Transfer-Encoding");
    if (minor_version == 0) return bad("Transfer-Encoding in HTTP/1.0");
    if (!iequals(field.value, "chunked")) return bad("a Transfer-Encoding other than chunked");
    fields.framing.chunked = true;
  } else if (iequals(field.name, "connection")) {
    read_connection(field.value, fields);
  }
  if (fields.framing.chunked && fields.framing.content_length) {
    return bad("Content-Length together with Transfer-Encoding");
  }
  return std::nullopt;
}

std::optional<Error> parse_fields(std::string_view rest, const HeadLimits& limits,
                                  int minor_version, Fields& fields) {
  fields.count = 0;
  fields.framing = {};
  fields.connection_close = fields.connection_keep_alive = false;
  while (true) {
    const auto line = take_line(rest);
    if (!line) return bad("a line does not end in CRLF");
    if (line->empty()) break;
    if (fields.count == std::min(limits.fields, Fields::kMax)) {
      return Error{Errc::kHeadTooLarge, "The head has more than " + std::to_string(limits.fields) +
                                            " fields. Send fewer."};
    }
    const std::size_t colon = line->find(':');
    if (colon == std::string_view::npos) return bad("a header line has no colon");
    const Field field{line->substr(0, colon), trim(line->substr(colon + 1))};
    if (!is_token(field.name)) return bad("a header name has a byte that is not allowed");
    if (!all(field.value, kValue)) return bad("a header value has a control byte");
    if (auto error = note_framing(field, minor_version, fields)) return error;
    fields.list[fields.count++] = field;
  }
  if (!rest.empty()) return bad("bytes after the head");
  return std::nullopt;
}

std::optional<Error> parse_version(std::string_view version, int& minor) {
  if (version == "HTTP/1.1") {
    minor = 1;
  } else if (version == "HTTP/1.0") {
    minor = 0;
  } else if (version.size() == 8 && version.starts_with("HTTP/") && version[6] == '.' &&
             version[5] >= '0' && version[5] <= '9' && version[7] >= '0' && version[7] <= '9') {
    // RFC 9110 2.5: a higher minor version is read as the highest one we know.
    if (version[5] != '1') {
      return Error{Errc::kUnsupportedVersion, "batchproxy understands HTTP/1.0 and HTTP/1.1 only."};
    }
    minor = 1;
  } else {
    return bad("the request line does not end in HTTP/1.0 or HTTP/1.1");
  }
  return std::nullopt;
}

// Where bytes stop being a head that more bytes could complete, and why. npos: nowhere yet.
struct Fault {
  std::size_t at = std::string_view::npos;
  Error error{Errc::kBadHttp, {}};

  // The earlier one counts: then the verdict does not depend on how the bytes were cut.
  void note(std::size_t where, Error why) {
    if (where < at) *this = {where, std::move(why)};
  }
};

// Bare CR and bare LF are line ends to some and not to others.
void check_line_ends(std::string_view bytes, Fault& fault) {
  for (std::size_t i = bytes.find('\n'); i != std::string_view::npos; i = bytes.find('\n', i + 1)) {
    if (i > 0 && bytes[i - 1] == '\r') continue;
    fault.note(i, bad("a line ends in LF without CR"));
    break;
  }
  for (std::size_t i = bytes.find('\r'); i != std::string_view::npos; i = bytes.find('\r', i + 1)) {
    if (i + 1 == bytes.size() || bytes[i + 1] == '\n') continue;
    fault.note(i + 1, bad("a CR is not followed by LF"));
    break;
  }
}

// RFC 9112 3.2.2: a server must understand http://host/path, and go by that host.
std::optional<Error> take_absolute_form(RequestHead& head) {
  constexpr std::string_view kScheme = "http://";
  if (!iequals(head.target.substr(0, kScheme.size()), kScheme)) return std::nullopt;
  const std::string_view rest = head.target.substr(kScheme.size());
  const std::size_t slash = rest.find_first_of("/?");
  if (!valid_host(rest.substr(0, slash))) return bad("the host in the request target is not valid");
  head.target = slash == std::string_view::npos ? std::string_view("/") : rest.substr(slash);
  return std::nullopt;
}

// Of these a second one could be the one that the next hop goes by.
std::optional<Error> check_singletons(const Fields& fields) {
  for (const std::string_view name : {"authorization", "content-type", "content-encoding"}) {
    const auto count = std::count_if(fields.begin(), fields.end(),
                                     [&](const Field& field) { return iequals(field.name, name); });
    if (count > 1) return bad("more than one " + std::string(name));
  }
  return std::nullopt;
}

std::optional<Error> check_host(const RequestHead& head) {
  std::size_t hosts = 0;
  for (const Field& field : head.fields) {
    if (!iequals(field.name, "host")) continue;
    ++hosts;
    if (!valid_host(field.value)) return bad("the value of the Host header is not valid");
  }
  if (hosts > 1) return bad("more than one Host header");
  if (hosts == 0 && head.minor_version == 1) return bad("no Host header");
  return std::nullopt;
}

std::optional<Error> read_request_head(std::string_view head, const HeadLimits& limits,
                                       RequestHead& out) {
  if (head.starts_with("\r\n")) head.remove_prefix(2);
  if (head.size() > limits.head) return bad("the head is too long");
  std::string_view rest = head;
  const auto line = take_line(rest);
  if (!line) return bad("no request line");
  if (line->size() > limits.line) {
    return Error{Errc::kUriTooLong, "The request line is longer than " +
                                        std::to_string(limits.line) + " bytes. Use a shorter URL."};
  }
  const std::size_t first = line->find(' ');
  const std::size_t last = line->rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return bad("the request line is not `METHOD TARGET HTTP/1.1`");
  }
  out.method = line->substr(0, first);
  out.target = line->substr(first + 1, last - first - 1);
  if (!is_token(out.method) || out.method.size() > kMaxMethod) {
    return bad("the method is not a token");
  }
  if (out.method == "CONNECT")
    return Error{Errc::kMethodNotAllowed, "CONNECT is not supported: batchproxy opens no tunnels."};
  if (!all(out.target, kTarget)) return bad("the request target has a byte that is not allowed");
  if (auto error = take_absolute_form(out)) return error;
  if (!out.target.starts_with('/') && out.target != "*") {
    return bad("the request target does not start with a slash");
  }
  if (auto error = parse_version(line->substr(last + 1), out.minor_version)) return error;
  if (auto error = parse_fields(rest, limits, out.minor_version, out.fields)) return error;
  if (auto error = check_host(out)) return error;
  if (auto error = check_singletons(out.fields)) return error;
  const std::string_view expect = out.fields.get("expect");
  out.expects_continue = iequals(expect, "100-continue");
  if (!expect.empty() && !out.expects_continue) {
    return Error{Errc::kExpectationFailed,
                 "The only expectation that batchproxy meets is `100-continue`."};
  }
  return std::nullopt;
}

}  // namespace

bool is_token_byte(char c) {
  return kToken[static_cast<unsigned char>(c)];
}

std::string_view Fields::get(std::string_view name) const {
  for (const Field& field : *this) {
    if (iequals(field.name, name)) return field.value;
  }
  return {};
}

bool RequestHead::keep_alive() const {
  return minor_version == 1 ? !fields.connection_close
                            : fields.connection_keep_alive && !fields.connection_close;
}

bool ResponseHead::keep_alive() const {
  return minor_version == 1 ? !fields.connection_close
                            : fields.connection_keep_alive && !fields.connection_close;
}

std::optional<std::size_t> find_head_end(std::string_view bytes, std::size_t searched) {
  const std::size_t from = searched < 3 ? 0 : searched - 3;
  // An empty line before the request line (at most one, see parse_request_head) is not its end.
  const std::size_t start = bytes.starts_with("\r\n") ? 2 : 0;
  const std::size_t end = bytes.find("\r\n\r\n", std::max(from, start));
  if (end == std::string_view::npos) return std::nullopt;
  return end + 4;
}

// Errors that more bytes cannot mend are answered at once, not when the client stops waiting.
std::optional<Error> check_partial_head(std::string_view bytes, const HeadLimits& limits) {
  if (bytes.starts_with("\r\n")) bytes.remove_prefix(2);
  Fault fault;
  check_line_ends(bytes, fault);
  const std::size_t line = std::min(bytes.find('\r'), bytes.size());
  const std::size_t method = std::min(bytes.find(' '), line);
  const auto odd = std::find_if(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(method),
                                [](char c) { return !is_token_byte(c); });
  const auto token = static_cast<std::size_t>(odd - bytes.begin());
  if (token < method) fault.note(token, bad("the method is not a token"));
  if (method > kMaxMethod) fault.note(kMaxMethod, bad("the method is too long"));
  if (line > limits.line) {
    fault.note(limits.line,
               {Errc::kUriTooLong, "The request line is longer than " +
                                       std::to_string(limits.line) + " bytes. Use a shorter URL."});
  }
  if (bytes.size() > limits.head) {
    fault.note(limits.head,
               {Errc::kHeadTooLarge, "The head is longer than " + std::to_string(limits.head) +
                                         " bytes. Send fewer or shorter header fields."});
  }
  if (fault.at == std::string_view::npos) return std::nullopt;
  return std::move(fault.error);
}

std::optional<Error> parse_request_head(std::string_view head, const HeadLimits& limits,
                                        RequestHead& out) {
  auto error = read_request_head(head, limits, out);
  if (!error) return std::nullopt;
  // A client that sends slowly hears of the first thing wrong; one that sends all at once, too.
  auto first = check_partial_head(head, limits);
  return first ? std::move(first) : std::move(error);
}

std::optional<Error> parse_response_head(std::string_view head, const HeadLimits& limits,
                                         ResponseHead& out) {
  std::string_view rest = head;
  const auto line = take_line(rest);
  if (!line || line->size() < 12 || !line->starts_with("HTTP/1.") || (*line)[8] != ' ') {
    return bad("no status line");
  }
  const char minor = (*line)[7];
  if (minor != '0' && minor != '1') return bad("no HTTP/1.x status line");
  out.minor_version = minor - '0';
  const std::string_view status = line->substr(9, 3);
  const auto [end, error] = std::from_chars(status.data(), status.data() + 3, out.status);
  if (error != std::errc{} || end != status.data() + 3 || out.status < 100 || out.status > 599 ||
      (line->size() > 12 && (*line)[12] != ' ') || !all(line->substr(12), kValue)) {
    return bad("no status between 100 and 599");
  }
  return parse_fields(rest, limits, out.minor_version, out.fields);
}

}  // namespace batchproxy::http
