// tests/files/query_test.cc - what stands behind the `?`, and which page of a list that asks for.
#include "proxy/files/query.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(Query, FindsAValueAndDecodesIt) {
  EXPECT_EQ(query_value("/v1/files?limit=2&after=file%2d1", "after"), "file-1");
  EXPECT_EQ(query_value("/v1/files?a=b+c", "a"), "b c");
  EXPECT_EQ(query_value("/v1/files?a&b=", "a"), "");
  EXPECT_EQ(query_value("/v1/files?a=%zz%4", "a"), "%zz%4");
  EXPECT_EQ(query_value("/v1/files?after=x", "fter"), std::nullopt);
  EXPECT_EQ(query_value("/v1/files", "after"), std::nullopt);
}

TEST(Query, GivesAllValuesInTheirOrder) {
  using Values = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(query_values("/admin/reload?flush=fixed&&batch_size=8&a"),
            (Values{{"flush", "fixed"}, {"batch_size", "8"}, {"a", ""}}));
  EXPECT_EQ(query_values("/admin/reload"), Values{});
  EXPECT_EQ(query_values("/admin/reload?"), Values{});
}

TEST(Query, ToldAPage) {
  const auto page = page_wanted("/v1/batches?limit=7&after=x&order=asc", 20, 100);
  EXPECT_EQ(page->limit, 7);
  EXPECT_EQ(page->after, "x");
  EXPECT_TRUE(page->ascending);
  EXPECT_EQ(page_wanted("/v1/batches", 20, 100)->limit, 20);
  EXPECT_FALSE(page_wanted("/v1/batches", 20, 100)->ascending);
}

TEST(Query, RefusesAPageThatIsNone) {
  for (const char* limit : {"0", "101", "-1", "x", ""}) {
    const auto page = page_wanted(std::string("/v1/batches?limit=") + limit, 20, 100);
    EXPECT_EQ(page.error().param, "limit") << limit;
  }
  EXPECT_EQ(page_wanted("/v1/batches?order=up", 20, 100).error().param, "order");
}

}  // namespace
}  // namespace batchproxy
