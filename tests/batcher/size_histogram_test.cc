// tests/batcher/size_histogram_test.cc - SizeHistogram: what falls into which bucket.
#include "batcher/base/size_histogram.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(SizeHistogram, CountsASizeUnderTheFirstBoundThatIsNotLess) {
  for (const std::uint32_t size : {0u, 1u, 2u, 3u, 4u, 5u, 64u, 65u, 1024u, 1025u, 1u << 31}) {
    SizeHistogram sizes;
    sizes.observe(size);
    std::size_t expected = 0;
    while (expected < SizeHistogram::kBounds.size() && SizeHistogram::kBounds[expected] < size) {
      ++expected;
    }
    EXPECT_EQ(sizes.bucket(expected), 1u) << size;
    EXPECT_EQ(sizes.sum(), size);
  }
}

}  // namespace
}  // namespace batchproxy
