// backends/sim/model/tokenizer.h - a toy tokenizer without a vocabulary file: about four characters
// of English per token, exactly reversible, the same ids in every process.
//
// A token is a run of up to seven ASCII characters of one kind (word, white space, other), where a
// word may begin with one blank; or one other Unicode character; or one byte that is not UTF-8. Its
// id is that text read as a number, so ids of words are far larger than a real vocabulary's:
//
//   [0, 256)          one byte
//   [256, 256+1114112) one code point
//   above             two to seven ASCII characters, by length, as base-128 numbers
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace batchproxy::sim {

using Token = std::int64_t;

// One more than the largest id; below 2^53, so that every JSON reader keeps it exact.
Token vocabulary_size();

std::vector<Token> tokenize(std::string_view text);

// The text of one token; always valid UTF-8 unless the token is a single byte beyond ASCII.
// U+FFFD for ids that stand for nothing (they come only from other tokenizers).
std::string token_text(Token token);

// detokenize(tokenize(text)) == text, byte for byte.
std::string detokenize(std::span<const Token> tokens);

// `text` with U+FFFD for every byte that is not part of UTF-8, as a JSON string needs it.
std::string valid_utf8(std::string_view text);

// The hash of every full block of kKvBlockTokens tokens, each covering all tokens before it.
std::vector<std::uint64_t> block_hashes(std::span<const Token> tokens);

}  // namespace batchproxy::sim
