// backends/sim/model/embedding.h - the simulated embedding model: a bag of tokens, each with a
// direction of its own. Texts that share words are close; the same text gives the same vector
// everywhere.
//
// Threading: pure functions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "backends/sim/model/tokenizer.h"

namespace batchproxy::sim {

inline constexpr int kEmbeddingSize = 64;

// A vector of length 1 with `dimensions` components, at most kEmbeddingSize.
std::vector<float> embed(std::span<const Token> tokens, int dimensions = kEmbeddingSize);

// The cosine of the angle between two texts.
double similarity(std::span<const Token> one, std::span<const Token> other);

// As vLLM's encoding_format "base64": the bytes of the floats, little endian.
std::string base64(std::span<const float> vector);

}  // namespace batchproxy::sim
