// tests/backends/model_table_test.cc - ModelTable: names to backends.
#include "backends/model_table.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(ModelTable, MapsEveryNameToTheBackendsThatServeIt) {
  ModelTable table;
  table.expect(0);
  table.expect(1);
  table.set(0, {{"a", R"({"id":"a"})"}, {"alias", R"({"id":"alias"})"}});
  EXPECT_FALSE(table.complete());
  table.set(1, {{"a", R"({"id":"a"})"}});
  EXPECT_TRUE(table.complete());
  EXPECT_EQ(table.find("a"), BackendSet::first(2));
  EXPECT_EQ(table.find("alias"), BackendSet::first(1));
  EXPECT_TRUE(table.find("b").empty());
  EXPECT_EQ(table.find(""), BackendSet::first(2));
  EXPECT_EQ(table.names(), "a, alias");
  EXPECT_EQ(table.models_json(), R"({"object":"list","data":[{"id":"a"},{"id":"alias"}]})");
}

TEST(ModelTable, ForgetsWhatABackendNoLongerServes) {
  ModelTable table;
  table.set(0, {{"old", "{}"}});
  table.set(0, {{"new", "{}"}});
  EXPECT_TRUE(table.find("old").empty());
  EXPECT_FALSE(table.find("new").empty());
}

}  // namespace
}  // namespace batchproxy
