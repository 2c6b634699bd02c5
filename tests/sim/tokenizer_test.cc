// tests/sim/tokenizer_test.cc - reversible, stable, and about as coarse as a real tokenizer.
#include "backends/sim/model/tokenizer.h"

#include <random>

#include <gtest/gtest.h>

#include "backends/sim/model/hardware.h"

namespace batchproxy::sim {
namespace {

void expect_round_trip(const std::string& text) {
  const std::vector<Token> tokens = tokenize(text);
  EXPECT_EQ(detokenize(tokens), text);
  for (const Token token : tokens) EXPECT_LT(token, vocabulary_size());
}

TEST(Tokenizer, GivesTextBackByteForByte) {
  expect_round_trip("");
  expect_round_trip("The quick brown fox, 42 years old,\n\n\tjumps.  Twice!   ");
  expect_round_trip("Größe: 3 µm → 日本語 😀 e\u0301");
  expect_round_trip(std::string("nul \0 inside", 12));
  expect_round_trip("broken \xC3( \xED\xA0\x80 \xF5 \xE2\x82");
}

TEST(Tokenizer, GivesRandomBytesBack) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 40, '\0');
    for (char& c : text) c = static_cast<char>(random());
    expect_round_trip(text);
  }
}

// Engines in different processes, and different releases, must agree.
TEST(Tokenizer, IdsNeverChange) {
  EXPECT_EQ(tokenize("A"), std::vector<Token>{65});
  EXPECT_EQ(tokenize("é"), std::vector<Token>{256 + 0xE9});
  EXPECT_EQ(tokenize(" B"), std::vector<Token>{256 + 0x110000 + (32 << 7) + 66});
}

TEST(Tokenizer, AnAnswerLetterIsOneToken) {
  EXPECT_EQ(tokenize("Answer: C").size(), tokenize("Answer:").size() + 1);
}

TEST(Tokenizer, ContinuingATextAtABlankKeepsItsTokens) {
  const std::vector<Token> context = tokenize("Which of these is largest?");
  const std::vector<Token> whole = tokenize("Which of these is largest? The third one.");
  ASSERT_GT(whole.size(), context.size());
  EXPECT_TRUE(std::equal(context.begin(), context.end(), whole.begin()));
}

TEST(Tokenizer, NeedsAboutFourCharactersOfEnglishPerToken) {
  const std::string text =
      "Radiation damage to cellular DNA triggers a network of signalling pathways that arrest the "
      "cell cycle, repair the lesion, or start programmed death when repair fails. The balance "
      "between these outcomes depends on dose, on tissue, and on the state of p53 in each cell.";
  const double ratio =
      static_cast<double>(text.size()) / static_cast<double>(tokenize(text).size());
  EXPECT_GT(ratio, 3.6);
  EXPECT_LT(ratio, 5.0);
}

TEST(Tokenizer, ForeignIdsBecomeValidText) {
  for (const Token token : {Token{-1}, vocabulary_size(), Token{256 + 0xD800}}) {
    EXPECT_EQ(token_text(token), "\xEF\xBF\xBD");
  }
  EXPECT_EQ(valid_utf8("a\xFF"
                       "b\xC3"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  EXPECT_EQ(valid_utf8("käse"), "käse");
}

TEST(BlockHashes, CoverFullBlocksAndEverythingBeforeThem) {
  std::vector<Token> tokens(3 * kKvBlockTokens + 5, 7);
  const auto before = block_hashes(tokens);
  ASSERT_EQ(before.size(), 3u);
  tokens[kKvBlockTokens] = 8;  // in the second block
  const auto after = block_hashes(tokens);
  EXPECT_EQ(after[0], before[0]);
  EXPECT_NE(after[1], before[1]);
  EXPECT_NE(after[2], before[2]);
}

}  // namespace
}  // namespace batchproxy::sim
