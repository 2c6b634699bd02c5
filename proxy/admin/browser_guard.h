// proxy/admin/browser_guard.h - which requests of browsers the admin address takes.
//
// Programs are none of its business: they need no guard against a page that somebody has opened. A
// browser sends what any page tells it to, from within the operator's machine. So:
//
//   a page of another origin            gets nothing (CSRF); a link to /ui may be followed
//   a page under a name of its own that leads here (DNS rebinding)
//                                       gets nothing: where no key is asked for, a browser must
//                                       have come by an address, `localhost` or a name without dots
//   the page at /ui                     may read, and order engines on a loopback address or with a
//                                       key
//
// Threading: pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

// What a request's head tells of who sends it; empty: the field is not there.
struct AskedBy {
  // No page can leave all of these out.
  bool is_browser() const {
    return !origin.empty() || !site.empty() || !language.empty() || agent.starts_with("Mozilla/");
  }

  std::string_view host{};
  std::string_view origin{};
  std::string_view site{};  // Sec-Fetch-Site
  std::string_view mode{};  // Sec-Fetch-Mode
  std::string_view dest{};  // Sec-Fetch-Dest
  std::string_view language{};
  std::string_view agent{};
};

// What is asked for, and of which address.
struct AskedOf {
  bool order = false;           // it changes something
  bool for_page = false;        // the page may ask for it: reads, and orders for engines
  bool tells = true;            // something about us; the page alone does not
  bool loopback = true;         // the address that was connected to
  bool keyed = false;           // a key is asked for, and was given
  std::string_view own_name{};  // of this machine
};

// Why it is refused, in a sentence for people; nothing when it is not.
std::optional<std::string> refuse_browser(const AskedBy& asker, const AskedOf& asked);
// Why the page's orders would be refused; nothing when they would not.
std::optional<std::string> why_read_only(const AskedOf& asked);

// "[::1]:80", "10.0.0.4", "localhost:8001", "gpubox", or `own_name`: no stranger can have such a
// name lead here.
bool is_own_host(std::string_view host, std::string_view own_name);

}  // namespace batchproxy
