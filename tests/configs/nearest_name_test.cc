// tests/configs/nearest_name_test.cc - what counts as a near miss.
#include "configs/text/nearest_name.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(EditDistance, CountsEachKindOfSlipOnce) {
  EXPECT_EQ(edit_distance("listen", "listen"), 0u);
  EXPECT_EQ(edit_distance("lisen", "listen"), 1u);    // left out
  EXPECT_EQ(edit_distance("llisten", "listen"), 1u);  // put in
  EXPECT_EQ(edit_distance("lizten", "listen"), 1u);   // replaced
  EXPECT_EQ(edit_distance("litsen", "listen"), 1u);   // swapped
  EXPECT_EQ(edit_distance("", "abc"), 3u);
}

TEST(EditDistance, IgnoresCaseAndDashes) {
  EXPECT_EQ(edit_distance("Batch-Size", "batch_size"), 0u);
}

TEST(NearestName, TakesTheClosest) {
  EXPECT_EQ(nearest_name("max_num_seq", {"max_num_seqs", "max_num_steps"}), "max_num_seqs");
}

TEST(NearestName, AllowsTwoEditsInLongNamesAndOneInShortOnes) {
  EXPECT_EQ(nearest_name("btch_siz", {"batch_size"}), "batch_size");
  EXPECT_EQ(nearest_name("btch_si", {"batch_size"}), std::nullopt);
  EXPECT_EQ(nearest_name("prt", {"port"}), "port");
  EXPECT_EQ(nearest_name("host", {"port"}), std::nullopt);
}

TEST(NearestName, DoesNotCompareWholeParagraphs) {
  EXPECT_EQ(nearest_name(std::string(1'000'000, 'x'), {"listen"}), std::nullopt);
}

TEST(Suggestion, IsEmptyWithoutANearName) {
  EXPECT_EQ(suggestion("lisen", {"listen"}), "; did you mean 'listen'?");
  EXPECT_EQ(suggestion("colour", {"listen"}), "");
}

}  // namespace
}  // namespace batchproxy
