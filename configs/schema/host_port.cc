// configs/schema/host_port.cc - reading and comparing addresses.
#include "configs/schema/host_port.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <unistd.h>

#include "configs/text/number.h"
#include "configs/text/trim.h"

namespace batchproxy {
namespace {

namespace asio = boost::asio;

std::string lower(std::string_view text) {
  std::string folded(text);
  std::ranges::transform(folded, folded.begin(), [](unsigned char c) { return std::tolower(c); });
  return folded;
}

std::optional<asio::ip::address> parse_address(std::string_view host) {
  boost::system::error_code problem;
  auto address = asio::ip::make_address(std::string(host), problem);
  if (problem) return std::nullopt;
  return address;
}

bool is_name(std::string_view host) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '.' || c == '_';
  };
  // Digits and dots alone are an address or a slip, such as 127.0.0.
  const auto numeric = [](unsigned char c) { return std::isdigit(c) || c == '.'; };
  return !host.empty() && host.size() <= 253 && std::ranges::all_of(host, allowed) &&
         (!std::ranges::all_of(host, numeric) || parse_address(host));
}

// What stands before the port: "[::1]" loses its brackets.
std::optional<std::string> parse_host(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) {
    const std::string_view inner = host.substr(1, host.size() - 2);
    const auto address = parse_address(inner);
    if (!address || !address->is_v6()) return std::nullopt;
    return std::string(inner);
  }
  if (!is_name(host)) return std::nullopt;
  return std::string(host);
}

}  // namespace

std::optional<HostPort> parse_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  auto host = parse_host(text.substr(0, colon));
  const auto port = number_in<std::uint16_t>(text.substr(colon + 1));
  if (!host || !port) return std::nullopt;
  return HostPort{*std::move(host), *port};
}

HostPort host_port_of(std::string_view host, std::uint16_t port) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return {std::string(host), port};
}

std::string to_string(const HostPort& address) {
  const bool is_v6 = address.host.find(':') != std::string::npos;
  const std::string host = is_v6 ? "[" + address.host + "]" : address.host;
  return host + ":" + std::to_string(address.port);
}

BackendUrl parse_backend_url(std::string_view url) {
  constexpr std::string_view kPlain = "http://", kSecured = "https://";
  const std::string folded = lower(url.substr(0, kSecured.size()));
  const bool secured = folded.starts_with(kSecured);
  if (!secured && !folded.starts_with(kPlain)) {
    return {std::nullopt, "expected http://HOST:PORT or https://HOST:PORT"};
  }
  const std::size_t scheme = secured ? kSecured.size() : kPlain.size();
  std::string_view rest = url.substr(scheme);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('@') != std::string_view::npos) {
    return {std::nullopt, "no user or password in the URL; set api_key instead"};
  }
  if (const auto path = rest.find_first_of("/?#"); path != std::string_view::npos) {
    return {std::nullopt,
            "no path after the port; write " + std::string(url.substr(0, scheme + path))};
  }
  if (auto address = parse_host_port(rest)) {
    if (address->port == 0) return {std::nullopt, "port 0 cannot be called"};
    return {std::move(address), "", secured};
  }
  const std::uint16_t usual = secured ? 443 : 80;
  if (auto host = parse_host(rest)) return {HostPort{*std::move(host), usual}, "", secured};
  return {std::nullopt, "expected http://HOST:PORT with a port from 1 to 65535"};
}

CollectorUrl parse_collector_url(std::string_view url) {
  constexpr std::string_view kTraces = "/v1/traces";
  const std::size_t scheme = url.find("://");
  const std::size_t host = scheme == std::string_view::npos ? 0 : scheme + 3;
  const std::size_t slash = std::min(url.find('/', host), url.size());
  std::string_view path = url.substr(slash);
  if (url.find('@') < slash) return {.problem = "no user or password in the URL; set otlp_headers"};
  if (url.find_first_of("?#") != std::string_view::npos) {
    return {.problem = "no ? and no # in the URL of a collector"};
  }
  BackendUrl server = parse_backend_url(url.substr(0, slash));
  if (!server.address) return {.problem = std::move(server.problem)};
  while (path.ends_with('/')) path.remove_suffix(1);
  CollectorUrl at{.address = *std::move(server.address), .path = std::string(path)};
  if (!at.path.ends_with(kTraces)) at.path += kTraces;
  at.secured = server.secured;
  return at;
}

std::optional<std::pair<std::string, std::string>> parse_header_pair(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) return std::nullopt;
  const std::string_view name = trim(text.substr(0, equals));
  const auto is_name_byte = [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) !=
                                       std::string_view::npos;
  };
  if (name.empty() || !std::ranges::all_of(name, is_name_byte)) return std::nullopt;
  const std::string_view written = trim(text.substr(equals + 1));
  std::string value;
  for (std::size_t i = 0; i < written.size(); ++i) {
    unsigned code = 0;
    const std::string_view digits = written.substr(i + 1, 2);
    const char* const end = digits.data() + digits.size();
    const bool coded = written[i] == '%' && digits.size() == 2 &&
                       std::from_chars(digits.data(), end, code, 16).ptr == end;
    value += coded ? static_cast<char>(code) : written[i];
    if (coded) i += 2;
  }
  const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
  if (std::ranges::any_of(value, is_control)) return std::nullopt;
  return std::pair(std::string(name), std::move(value));
}

std::string problem_of_origin(std::string_view origin) {
  const std::size_t colon = origin.find("://");
  const std::string scheme = lower(origin.substr(0, colon));
  const auto of_scheme = [](unsigned char c) {
    return std::isalnum(c) || c == '+' || c == '-' || c == '.';
  };
  if (colon == std::string_view::npos || scheme.empty() ||
      !std::ranges::all_of(scheme, of_scheme)) {
    return "expected an origin, such as http://localhost:3000, or \"*\" for all";
  }
  const std::string_view host = origin.substr(colon + 3);
  const std::string start = std::string(origin.substr(0, colon + 3));
  if (const auto path = host.find_first_of("/?#"); path != std::string_view::npos) {
    return "an origin ends before the path; write " + start + std::string(host.substr(0, path));
  }
  if (host.find('*') != std::string_view::npos) {
    return "\"*\" stands for all origins, and for no part of one; name each";
  }
  const auto address = parse_host_port(host);
  if (!address && !parse_host(host)) return "expected scheme://HOST or scheme://HOST:PORT";
  const int usual = scheme == "http" ? 80 : scheme == "https" ? 443 : 0;
  if (address && address->port == usual) {
    return "browsers leave out that port; write " + start +
           std::string(host.substr(0, host.rfind(':')));
  }
  return "";
}

bool is_address(std::string_view host) {
  return parse_address(host).has_value();
}

bool is_loopback(std::string_view host) {
  const auto address = parse_address(host);
  return address ? address->is_loopback() : lower(host) == "localhost";
}

bool is_wildcard(std::string_view host) {
  const auto address = parse_address(host);
  return address && address->is_unspecified();
}

bool is_own_name(std::string_view host) {
  std::array<char, 256> buffer{};
  if (::gethostname(buffer.data(), buffer.size() - 1) != 0) return false;
  const std::string own = lower(buffer.data());
  const std::string name = lower(host);
  return name == own || name == own.substr(0, own.find('.'));
}

bool overlaps(const HostPort& listen, const HostPort& other) {
  if (listen.port != other.port || listen.port == 0) return false;
  const std::string left = lower(listen.host);
  const std::string right = lower(other.host);
  if (left == right || (is_wildcard(left) && is_own_name(right))) return true;
  // 127.0.0.1 and 127.0.0.2 are different listeners; the name and the wildcard reach both.
  const auto local = [](std::string_view host) { return is_loopback(host) || is_wildcard(host); };
  const auto broad = [](std::string_view host) { return host == "localhost" || is_wildcard(host); };
  return local(left) && local(right) && (broad(left) || broad(right));
}

}  // namespace batchproxy
