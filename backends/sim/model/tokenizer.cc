// backends/sim/model/tokenizer.cc - splitting, and the arithmetic between text and ids.
#include "backends/sim/model/tokenizer.h"

#include <algorithm>
#include <array>

#include "backends/sim/model/hardware.h"
#include "backends/sim/model/hash.h"

namespace batchproxy::sim {
namespace {

constexpr std::size_t kMostCharacters = 7;
constexpr Token kFirstCodePoint = 256;
constexpr Token kCodePoints = 0x110000;

// first_of_length()[n] is the smallest id of the n-character tokens, for 2 <= n <= 7; the entry
// after the last is the size of the vocabulary.
constexpr std::array<Token, kMostCharacters + 2> first_of_length() {
  std::array<Token, kMostCharacters + 2> first{};
  first[2] = kFirstCodePoint + kCodePoints;
  for (std::size_t n = 2; n <= kMostCharacters; ++n) {
    first[n + 1] = first[n] + (Token{1} << (7 * n));
  }
  return first;
}

constexpr auto kFirstOfLength = first_of_length();

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

enum class Kind { kWord, kSpace, kOther };

Kind kind_of(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
    return Kind::kWord;
  }
  if (c == ' ' || (c >= '\t' && c <= '\r')) return Kind::kSpace;
  return Kind::kOther;
}

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

// Length of the well-formed UTF-8 sequence at the front of `text`, 0 if there is none. `text` is
// not empty and does not begin with ASCII.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xED && byte(1) >= 0xA0;
  const bool too_large = lead == 0xF4 && byte(1) >= 0x90;
  return overlong || surrogate || too_large ? 0 : length;
}

Token decode_utf8(std::string_view sequence) {
  Token code_point = static_cast<unsigned char>(sequence[0]) & (0xFF >> (sequence.size() + 1));
  for (const char c : sequence.substr(1)) {
    code_point = code_point << 6 | (static_cast<unsigned char>(c) & 0x3F);
  }
  return code_point;
}

std::string encode_utf8(Token code_point) {
  const auto tail = [code_point](int shift) {
    return static_cast<char>(0x80 | (code_point >> shift & 0x3F));
  };
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  if (code_point < 0x800) return {static_cast<char>(0xC0 | code_point >> 6), tail(0)};
  if (code_point >= 0xD800 && code_point < 0xE000) return std::string(kReplacement);
  if (code_point < 0x10000) return {static_cast<char>(0xE0 | code_point >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | code_point >> 18), tail(12), tail(6), tail(0)};
}

// Length of the ASCII token at the front of `text`, which begins with ASCII.
std::size_t ascii_length(std::string_view text) {
  const bool blank_before_word =
      text.size() > 1 && text[0] == ' ' && is_ascii(text[1]) && kind_of(text[1]) == Kind::kWord;
  std::size_t length = blank_before_word ? 2 : 1;
  const Kind kind = kind_of(text[length - 1]);
  while (length < std::min(text.size(), kMostCharacters) && is_ascii(text[length]) &&
         kind_of(text[length]) == kind) {
    // The last blank before a word belongs to the word.
    if (kind == Kind::kSpace && text[length] == ' ' && length + 1 < text.size() &&
        kind_of(text[length + 1]) == Kind::kWord) {
      break;
    }
    ++length;
  }
  return length;
}

Token ascii_token(std::string_view text) {
  if (text.size() == 1) return static_cast<unsigned char>(text[0]);
  Token number = 0;
  for (const char c : text) number = number << 7 | c;
  return kFirstOfLength[text.size()] + number;
}

}  // namespace

Token vocabulary_size() {
  return kFirstOfLength.back();
}

std::vector<Token> tokenize(std::string_view text) {
  std::vector<Token> tokens;
  tokens.reserve(text.size() / 4 + 1);
  while (!text.empty()) {
    std::size_t length = 1;
    if (is_ascii(text[0])) {
      length = ascii_length(text);
      tokens.push_back(ascii_token(text.substr(0, length)));
    } else if (const std::size_t sequence = utf8_length(text); sequence > 0) {
      length = sequence;
      tokens.push_back(kFirstCodePoint + decode_utf8(text.substr(0, length)));
    } else {
      tokens.push_back(static_cast<unsigned char>(text[0]));
    }
    text.remove_prefix(length);
  }
  return tokens;
}

std::string token_text(Token token) {
  if (token < 0 || token >= vocabulary_size()) return std::string(kReplacement);
  if (token < kFirstCodePoint) return {static_cast<char>(token)};
  if (token < kFirstOfLength[2]) return encode_utf8(token - kFirstCodePoint);
  std::size_t length = 2;
  while (token >= kFirstOfLength[length + 1]) ++length;
  std::string text(length, '\0');
  Token number = token - kFirstOfLength[length];
  for (auto c = text.rbegin(); c != text.rend(); ++c, number >>= 7) {
    *c = static_cast<char>(number & 0x7F);
  }
  return text;
}

std::string detokenize(std::span<const Token> tokens) {
  std::string text;
  for (const Token token : tokens) text += token_text(token);
  return text;
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = is_ascii(text[0]) ? 1 : utf8_length(text);
    valid += length > 0 ? text.substr(0, length) : kReplacement;
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return valid;
}

std::vector<std::uint64_t> block_hashes(std::span<const Token> tokens) {
  std::vector<std::uint64_t> hashes;
  hashes.reserve(tokens.size() / kKvBlockTokens);
  std::uint64_t hash = kHashStart;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    hash = mix(hash, static_cast<std::uint64_t>(tokens[i]));
    if ((i + 1) % kKvBlockTokens == 0) hashes.push_back(hash);
  }
  return hashes;
}

}  // namespace batchproxy::sim
