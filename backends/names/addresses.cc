// backends/names/addresses.cc - see addresses.h.
#include "backends/names/addresses.h"

#include <algorithm>
#include <utility>

namespace batchproxy {

namespace {

using Address = asio::ip::tcp::endpoint;

// Less than that is not enough to connect over a long way (the pause of RFC 8305).
constexpr Duration kLeastShare = std::chrono::milliseconds(250);

}  // namespace

Addresses in_order(const Addresses& found) {
  Addresses ordered;
  for (const bool v4 : {true, false}) {
    for (const Address& each : found) {
      if (each.address().is_v4() == v4 && !contains(ordered, each)) ordered.push_back(each);
    }
  }
  return ordered;
}

bool same_addresses(const Addresses& a, const Addresses& b) {
  return a.size() == b.size() &&
         std::ranges::all_of(a, [&b](const Address& address) { return contains(b, address); });
}

bool contains(const Addresses& addresses, const Address& address) {
  return std::ranges::find(addresses, address) != addresses.end();
}

Addresses beginning_with(const Address& worked, Addresses addresses) {
  const auto it = std::ranges::find(addresses, worked);
  if (it != addresses.end()) std::rotate(addresses.begin(), it, it + 1);
  return addresses;
}

Duration share_of(Duration left, std::size_t tries) {
  const auto equal = left / static_cast<Duration::rep>(std::max<std::size_t>(tries, 1));
  return std::min(left, std::max(equal, kLeastShare));
}

std::string describe_unresolved(const std::string& name, const ErrorCode& error) {
  return "its name `" + name + "` cannot be resolved: " + error.message();
}

std::string to_string(const Addresses& addresses) {
  std::string text;
  for (const Address& address : addresses) {
    text += (text.empty() ? "" : ", ") + address.address().to_string();
  }
  return text;
}

}  // namespace batchproxy
