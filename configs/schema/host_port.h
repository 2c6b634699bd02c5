// configs/schema/host_port.h - HOST:PORT and http://HOST:PORT as users write them.
//
// Threading: any thread; no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace batchproxy {

struct HostPort {
  std::string host;  // an IPv4 address, an IPv6 address without brackets, or a name
  std::uint16_t port = 0;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "127.0.0.1:8000", "[::1]:8000", "node7:8000"; the port is required, 0 is allowed.
std::optional<HostPort> parse_host_port(std::string_view text);

// The address of a host that may be written with or without the brackets of IPv6.
HostPort host_port_of(std::string_view host, std::uint16_t port);

// "127.0.0.1:8000" or "[::1]:8000".
std::string to_string(const HostPort& address);

// The address in an engine's URL. On failure `problem` says why, and what to write instead.
struct BackendUrl {
  std::optional<HostPort> address;  // port 80, or 443, when the URL names none
  std::string problem;
  bool secured = false;  // https
};
BackendUrl parse_backend_url(std::string_view url);

// Where an OpenTelemetry collector takes traces, of the URL of all that it takes. On failure
// `problem` says why.
struct CollectorUrl {
  HostPort address{};  // port 80, or 443, when the URL names none
  std::string path{};  // that of traces
  std::string problem{};
  bool secured = false;  // https
};
CollectorUrl parse_collector_url(std::string_view url);

// "NAME=VALUE" with %XX in VALUE, as OpenTelemetry's variables write a header field; nothing if it
// is none.
std::optional<std::pair<std::string, std::string>> parse_header_pair(std::string_view text);

// The fault in the origin of a web page, scheme://host[:port] as its browser sends it, and
// what to write instead; empty when it has none. Letters may be of either case.
std::string problem_of_origin(std::string_view origin);

bool is_address(std::string_view host);   // of IPv4 or IPv6; anything else is a name
bool is_loopback(std::string_view host);  // 127.0.0.0/8, ::1, localhost
bool is_wildcard(std::string_view host);  // 0.0.0.0, ::

// Whether that is the name of this machine, also without its domain.
bool is_own_name(std::string_view host);

// Whether a listener on `listen` would receive what is sent to `other` on this machine.
bool overlaps(const HostPort& listen, const HostPort& other);

}  // namespace batchproxy
