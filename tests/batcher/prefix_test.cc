// tests/batcher/prefix_test.cc - which prompts count as beginning alike.
#include "batcher/prefix.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "batcher/residency.h"

namespace batchproxy {
namespace {

bool alike(const std::string& a, const std::string& b) {
  Residency residency;
  residency.sent(PrefixChain(a, 1), 100, 0);
  return residency.find(PrefixChain(b, 1)).holders.contains(0);
}

TEST(PrefixChain, MatchesAPassageThatCoversMostOfThePrompt) {
  const std::string passage(4000, 'p');
  EXPECT_TRUE(alike(passage + std::string(800, 'a'), passage + std::string(800, 'b')));
  EXPECT_TRUE(alike(passage + std::string(100, 'a'), passage + std::string(1500, 'b')));
}

TEST(PrefixChain, DoesNotMatchASharedSystemPromptAlone) {
  const std::string system(1200, 's');
  EXPECT_FALSE(alike(system + std::string(4000, 'a'), system + std::string(4000, 'b')));
}

TEST(PrefixChain, DoesNotMatchOtherModelsOrOtherBeginnings) {
  const std::string prompt(4000, 'p');
  Residency residency;
  residency.sent(PrefixChain(prompt, 1), 100, 0);
  EXPECT_TRUE(residency.find(PrefixChain(prompt, 2)).holders.empty());
  EXPECT_TRUE(residency.find(PrefixChain("x" + prompt, 1)).holders.empty());
}

TEST(PrefixChain, StaysSmallForPromptsOfAnyLength) {
  for (const std::size_t length : {0u, 255u, 256u, 1000u, 6000u, 64000u, 300000u, 5000000u}) {
    const PrefixChain chain(std::string(length, 'x'), 0);
    EXPECT_LE(chain.hashes().size(), 8u);
    EXPECT_EQ(chain.empty(), length < 1024);
  }
}

TEST(Residency, ExpiresWhenTheCacheHasBeenFilledAnew) {
  Residency residency;
  residency.set_capacity(0, 1000);
  const PrefixChain kept(std::string(4000, 'k'), 1);
  residency.sent(kept, 100, 0);
  residency.sent(PrefixChain(std::string(4000, 'a'), 1), 1000, 0);
  EXPECT_TRUE(residency.find(kept).holders.contains(0));
  residency.sent(PrefixChain(std::string(4000, 'b'), 1), 1, 0);
  EXPECT_TRUE(residency.find(kept).holders.empty());
  residency.sent(kept, 50, 0);
  EXPECT_TRUE(residency.find(kept).holders.contains(0)) << "it is there again";
}

TEST(Residency, KnowsSeveralHomesAndForgetsOneThatWasRestarted) {
  Residency residency;
  const PrefixChain prefix(std::string(4000, 'k'), 1);
  residency.sent(prefix, 100, 0);
  residency.sent(prefix, 100, 2);
  residency.forget(0);
  EXPECT_EQ(residency.find(prefix).holders.size(), 1u);
  EXPECT_TRUE(residency.find(prefix).holders.contains(2));
}

TEST(Residency, ForgetsTheLongestUnusedWhenThereAreTooMany) {
  Residency residency;
  const PrefixChain first(std::string(1100, 'f'), 1), kept(std::string(1100, 'k'), 1);
  residency.sent(first, 1, 0);
  residency.sent(kept, 1, 0);
  for (std::size_t i = 0; i < 2 * Residency::kGeneration; ++i) {
    residency.sent(PrefixChain(std::to_string(i) + std::string(1100, '.'), 1), 1, 0);
    if (i % 1000 == 0) residency.sent(kept, 1, 0);
  }
  EXPECT_TRUE(residency.find(first).holders.empty());
  EXPECT_FALSE(residency.find(kept).holders.empty());
}

}  // namespace
}  // namespace batchproxy
