// backends/names/addresses.h - Addresses: where a backend may be found, and in which order to try.
//
// Threading: values and pure functions, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "backends/net/task.h"
#include "batcher/base/time.h"

namespace batchproxy {

using Addresses = std::vector<asio::ip::tcp::endpoint>;

// The outcome of a look-up.
struct LookUp {
  ErrorCode error{};
  Addresses found{};
};

// Each of `found` once, those of IPv4 first: `localhost` is often ::1 first, where a server that
// binds 127.0.0.1 is not to be found.
Addresses in_order(const Addresses& found);

// Whether both hold the same ones. Name servers give them in another order each time.
bool same_addresses(const Addresses& a, const Addresses& b);

bool contains(const Addresses& addresses, const asio::ip::tcp::endpoint& address);

// In the order in which to try them: `worked` first, if it is among them.
Addresses beginning_with(const asio::ip::tcp::endpoint& worked, Addresses addresses);

// How long to try one address when `left` is the time for it and for those behind it, `tries` in
// all. A silent one must leave time for the others.
Duration share_of(Duration left, std::size_t tries);

// Why the name of a backend leads nowhere: "its name `vllm` cannot be resolved: Host not found".
std::string describe_unresolved(const std::string& name, const ErrorCode& error);

// "127.0.0.2, ::1", without ports.
std::string to_string(const Addresses& addresses);

}  // namespace batchproxy
