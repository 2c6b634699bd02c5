// batcher/backend_set.h - BackendId: which backend; BackendSet: some of them.
//
// Threading: values.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace batchproxy {

// Position of a backend in the configuration; at most BackendSet::kMax of them.
using BackendId = std::uint32_t;

// A set of backends, as bits.
class BackendSet {
 public:
  static constexpr std::size_t kMax = 64;

  constexpr BackendSet() = default;
  static constexpr BackendSet first(std::size_t n) {
    return BackendSet(n >= kMax ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1);
  }

  constexpr void insert(BackendId id) { bits_ |= std::uint64_t{1} << id; }
  constexpr void erase(BackendId id) { bits_ &= ~(std::uint64_t{1} << id); }
  constexpr bool contains(BackendId id) const { return (bits_ >> id & 1) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr std::size_t size() const { return static_cast<std::size_t>(std::popcount(bits_)); }
  constexpr BackendSet operator&(BackendSet other) const { return BackendSet(bits_ & other.bits_); }
  constexpr BackendSet operator|(BackendSet other) const { return BackendSet(bits_ | other.bits_); }
  constexpr BackendSet operator-(BackendSet other) const {
    return BackendSet(bits_ & ~other.bits_);
  }
  friend constexpr bool operator==(BackendSet, BackendSet) = default;

 private:
  constexpr explicit BackendSet(std::uint64_t bits) : bits_(bits) {}
  std::uint64_t bits_ = 0;
};

}  // namespace batchproxy
