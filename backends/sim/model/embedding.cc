// backends/sim/model/embedding.cc - see embedding.h.
#include "backends/sim/model/embedding.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>

#include <openssl/evp.h>

#include "backends/sim/model/hash.h"

namespace batchproxy::sim {

std::vector<float> embed(std::span<const Token> tokens, int dimensions) {
  std::vector<double> sum(static_cast<std::size_t>(dimensions));
  for (const Token token : tokens) {
    const std::uint64_t hash = mix(kHashStart, static_cast<std::uint64_t>(token));
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += 2 * unit_interval(mix(hash, i)) - 1;
  }
  const double length = std::sqrt(std::inner_product(sum.begin(), sum.end(), sum.begin(), 0.0));
  std::vector<float> vector;
  for (const double value : sum) vector.push_back(static_cast<float>(value / length));
  return vector;
}

double similarity(std::span<const Token> one, std::span<const Token> other) {
  const std::vector<float> a = embed(one);
  const std::vector<float> b = embed(other);
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

std::string base64(std::span<const float> vector) {
  static_assert(std::endian::native == std::endian::little);
  const auto bytes = std::as_bytes(vector);
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // with room for the final 0
  const int written = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                      reinterpret_cast<const unsigned char*>(bytes.data()),
                                      static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(written));
  return text;
}

}  // namespace batchproxy::sim
