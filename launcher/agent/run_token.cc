// launcher/agent/run_token.cc - HMAC-SHA256, in hex.
#include "launcher/agent/run_token.h"

#include <array>
#include <stdexcept>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "backends/net/system_random.h"

namespace batchproxy {

std::string make_nonce() {
  return fmt::format("{:016x}{:016x}", system_random(), system_random());
}

std::string make_run_token() {
  return make_nonce() + make_nonce();
}

std::string make_proof(std::string_view token, std::string_view who, std::string_view what,
                       std::string_view batchproxys_nonce, std::string_view agents_nonce) {
  std::string text;
  // With their lengths, so that no two lists of parts are one text.
  for (const std::string_view part : {who, what, batchproxys_nonce, agents_nonce}) {
    text += fmt::format("{}:{}", part.size(), part);
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  const auto* const made = ::HMAC(::EVP_sha256(), token.data(), static_cast<int>(token.size()),
                                  reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                                  digest.data(), &size);
  if (made == nullptr) throw std::runtime_error("OpenSSL makes no HMAC");
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

bool same_proof(std::string_view a, std::string_view b) {
  return a.size() == b.size() && !a.empty() && ::CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace batchproxy
