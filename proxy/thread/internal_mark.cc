// proxy/thread/internal_mark.cc - see internal_mark.h.
#include "proxy/thread/internal_mark.h"

#include <array>
#include <stdexcept>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

namespace batchproxy {

InternalMark::InternalMark() {
  std::array<unsigned char, 32> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw std::runtime_error("the system has no random bytes");
  }
  for (const unsigned char byte : bytes) secret_ += fmt::format("{:02x}", byte);
}

std::string InternalMark::value_for(std::string_view who) const {
  return secret_ + std::string(who);
}

std::optional<std::string_view> InternalMark::who_in(std::string_view value) const {
  if (value.size() < secret_.size()) return std::nullopt;
  if (CRYPTO_memcmp(value.data(), secret_.data(), secret_.size()) != 0) return std::nullopt;
  return value.substr(secret_.size());
}

}  // namespace batchproxy
