// tests/launcher/agent/run_token_test.cc - who has the token, and who has not.
#include "launcher/agent/run_token.h"

#include <set>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(RunToken, IsAnotherEachTime) {
  std::set<std::string> tokens;
  for (int i = 0; i < 100; ++i) tokens.insert(make_run_token());
  EXPECT_EQ(tokens.size(), 100u);
  EXPECT_EQ(tokens.begin()->size(), 64u);
}

TEST(RunToken, ProofIsHmacSha256) {
  // openssl: printf '5:agent1:e1:b1:a' | openssl dgst -sha256 -hmac token
  EXPECT_EQ(make_proof("token", "agent", "e", "b", "a"),
            "b0a63827528b68e909895b02f64949293f70f9779b173178aee3a0bef6d0ceab");
}

TEST(RunToken, EachPartCounts) {
  const std::string proof = make_proof("token", "agent", "what", "b", "a");
  EXPECT_NE(proof, make_proof("tokem", "agent", "what", "b", "a"));
  EXPECT_NE(proof, make_proof("token", "batchproxy", "what", "b", "a"));
  EXPECT_NE(proof, make_proof("token", "agent", "That", "b", "a"));
  EXPECT_NE(proof, make_proof("token", "agent", "what", "c", "a"));
  EXPECT_NE(proof, make_proof("token", "agent", "what", "b", "c"));
  EXPECT_NE(make_proof("token", "agent", "ab", "c", ""),
            make_proof("token", "agent", "a", "bc", ""));
}

TEST(RunToken, ComparesProofs) {
  EXPECT_TRUE(same_proof("abc", "abc"));
  EXPECT_FALSE(same_proof("abc", "abd"));
  EXPECT_FALSE(same_proof("abc", "ab"));
  EXPECT_FALSE(same_proof("", "")) << "no proof is none";
}

}  // namespace
}  // namespace batchproxy
