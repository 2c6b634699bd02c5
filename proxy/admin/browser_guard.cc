// proxy/admin/browser_guard.cc - see browser_guard.h.
#include "proxy/admin/browser_guard.h"

#include <algorithm>

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

#include "configs/text/printable.h"

namespace batchproxy {

namespace {

bool equal_names(std::string_view one, std::string_view other) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::ranges::equal(one, other, {}, lower, lower);
}

// Without its port.
std::string_view name_of(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool is_address(std::string_view name) {
  boost::system::error_code error;
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  boost::asio::ip::make_address(name, error);
  return !error;
}

// The HOST[:PORT] of "http://HOST[:PORT]"; empty for "null" and what else is none.
std::string_view host_of(std::string_view origin) {
  const std::size_t at = origin.find("://");
  return at == origin.npos ? "" : origin.substr(at + 3);
}

// A link that somebody follows: only its own page sees what comes.
bool follows_link(const AskedBy& asker) {
  return asker.mode == "navigate" && asker.dest == "document";
}

bool is_of_another_page(const AskedBy& asker, bool is_link) {
  if (!asker.origin.empty() && !equal_names(host_of(asker.origin), asker.host)) return true;
  return (asker.site == "cross-site" || asker.site == "same-site") && !is_link;
}

constexpr std::string_view kNotForPages =
    "Web pages may not use this path. Use a program that sends no Origin field.";

}  // namespace

bool is_own_host(std::string_view host, std::string_view own_name) {
  const std::string_view name = name_of(host);
  if (name.empty()) return false;
  if (is_address(name) || equal_names(name, own_name)) return true;
  constexpr std::string_view kLocal = ".localhost";
  const bool is_local =
      name.size() > kLocal.size() && equal_names(name.substr(name.size() - kLocal.size()), kLocal);
  return is_local || name.find('.') == name.npos;
}

std::optional<std::string> why_read_only(const AskedOf& asked) {
  if (asked.loopback || asked.keyed) return std::nullopt;
  return "This page is read-only here: the admin address is open to the network and asks for no "
         "key. Configure API keys (batchproxy.api_keys_file), or use `batchproxy engines`.";
}

std::optional<std::string> refuse_browser(const AskedBy& asker, const AskedOf& asked) {
  if (!asker.is_browser()) return std::nullopt;
  // Any form can send an order without asking first.
  const bool sent_by_page = !asker.origin.empty() || !asker.site.empty();
  if (asked.order && !asked.for_page && sent_by_page) return std::string(kNotForPages);
  const bool is_link = !asked.order && follows_link(asker);
  if (is_of_another_page(asker, is_link)) {
    return fmt::format("A page of another origin may not use the admin address. Open {} itself.",
                       asked.order ? "its page /ui" : "the path");
  }
  if (asked.tells && !asked.keyed && !is_own_host(asker.host, asked.own_name)) {
    return fmt::format(
        "Browsers are answered here at an address, `localhost` or a name without dots, and not at "
        "`{}`: no key is asked for, and any page could have its own name lead here. Open this "
        "address by its number, or configure API keys (batchproxy.api_keys_file).",
        printable(asker.host));
  }
  if (asked.order && sent_by_page) {
    if (asker.origin.empty()) return std::string(kNotForPages);
    return why_read_only(asked);
  }
  return std::nullopt;
}

}  // namespace batchproxy
