// tests/batcher/prefix/prefix_test.cc - which prompts count as beginning alike.
#include "batcher/base/prefix.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "batcher/fleet/prefix_index.h"

namespace batchproxy {
namespace {

const BackendSet kAll = BackendSet::first(4);

bool alike(const std::string& a, const std::string& b) {
  PrefixIndex index;
  index.sent(PrefixChain(a, 1), 100, 0);
  return index.find(PrefixChain(b, 1), kAll).holders.contains(0);
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
  PrefixIndex index;
  index.sent(PrefixChain(prompt, 1), 100, 0);
  EXPECT_TRUE(index.find(PrefixChain(prompt, 2), kAll).holders.empty());
  EXPECT_TRUE(index.find(PrefixChain("x" + prompt, 1), kAll).holders.empty());
}

TEST(PrefixChain, StaysSmallForPromptsOfAnyLength) {
  for (const std::size_t length : {0u, 255u, 256u, 1000u, 6000u, 64000u, 300000u, 5000000u}) {
    const PrefixChain chain(std::string(length, 'x'), 0);
    EXPECT_LE(chain.hashes().size(), 8u);
    EXPECT_EQ(chain.empty(), length < 1024);
  }
}

TEST(PrefixIndex, ExpiresWhenTheCacheHasBeenFilledAnew) {
  PrefixIndex index;
  index.set_capacity(0, 1000);
  const PrefixChain kept(std::string(4000, 'k'), 1);
  index.sent(kept, 100, 0);
  index.sent(PrefixChain(std::string(4000, 'a'), 1), 1000, 0);
  EXPECT_TRUE(index.find(kept, kAll).holders.contains(0));
  index.sent(PrefixChain(std::string(4000, 'b'), 1), 1, 0);
  EXPECT_TRUE(index.find(kept, kAll).holders.empty());
  index.sent(kept, 50, 0);
  EXPECT_TRUE(index.find(kept, kAll).holders.contains(0)) << "it is there again";
}

TEST(PrefixIndex, KnowsSeveralHomesAndForgetsOneThatWasRestarted) {
  PrefixIndex index;
  const PrefixChain prefix(std::string(4000, 'k'), 1);
  index.sent(prefix, 100, 0);
  index.sent(prefix, 100, 2);
  index.forget(0);
  EXPECT_EQ(index.find(prefix, kAll).holders.size(), 1u);
  EXPECT_TRUE(index.find(prefix, kAll).holders.contains(2));
}

TEST(PrefixIndex, ForgetsTheLongestUnusedWhenThereAreTooMany) {
  PrefixIndex index;
  const PrefixChain first(std::string(1100, 'f'), 1), kept(std::string(1100, 'k'), 1);
  index.sent(first, 1, 0);
  index.sent(kept, 1, 0);
  for (std::size_t i = 0; i < 2 * PrefixIndex::kGeneration; ++i) {
    index.sent(PrefixChain(std::to_string(i) + std::string(1100, '.'), 1), 1, 0);
    if (i % 1000 == 0) index.sent(kept, 1, 0);
  }
  EXPECT_TRUE(index.find(first, kAll).holders.empty());
  EXPECT_FALSE(index.find(kept, kAll).holders.empty());
}

TEST(PrefixIndex, FindsWhatOneOfThoseAskedForHolds) {
  PrefixIndex index;
  const std::string passage(4000, 'p');
  const PrefixChain asked(passage + std::string(800, 'a'), 1);
  index.sent(PrefixChain(passage + std::string(800, 'b'), 1), 100, 0);
  index.sent(asked, 100, 1);  // and failed there
  const PrefixIndex::Match everywhere = index.find(asked, kAll);
  EXPECT_FALSE(everywhere.holders.contains(0)) << "a longer beginning hides it";
  const PrefixIndex::Match elsewhere = index.find(asked, BackendSet::first(1));
  EXPECT_TRUE(elsewhere.holders.contains(0));
  EXPECT_NE(elsewhere.beginning, everywhere.beginning);
}

}  // namespace
}  // namespace batchproxy
