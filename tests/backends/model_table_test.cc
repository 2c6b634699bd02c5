// tests/backends/model_table_test.cc - ModelTable: names to backends.
#include "backends/health/model_table.h"

#include <cstdint>
#include <utility>

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

TEST(ModelTable, KeepsTheOrderInWhichTheBackendsNameTheirModels) {
  ModelTable table;
  table.set(1, {{"lora", R"({"id":"lora"})"}, {"more", R"({"id":"more"})"}});
  table.set(0, {{"zeta", R"({"id":"zeta"})"}, {"lora", R"({"id":"lora","of":0})"}});
  EXPECT_EQ(table.names(), "zeta, lora, more");
  EXPECT_EQ(table.models_json(),
            R"({"object":"list","data":[{"id":"zeta"},{"id":"lora","of":0},{"id":"more"}]})");
}

TEST(ModelTable, KnowsWhatIsConfiguredFromTheStartToTheEnd) {
  ModelTable table;
  table.expect(0, {.names = {"judge"}, .always = true});
  table.expect(1);
  EXPECT_EQ(table.find("judge"), BackendSet::first(1));
  EXPECT_FALSE(table.has_list()) << "it has not said so itself";
  table.set(1, {{"a", R"({"id":"a"})"}});
  EXPECT_TRUE(table.has_list());
  EXPECT_EQ(table.names(), "a, judge");
  EXPECT_EQ(table.models_json(), R"({"object":"list","data":[{"id":"a"}]})");
  EXPECT_FALSE(table.complete());
  table.retire(0);
  EXPECT_TRUE(table.complete()) << "it will not name more";
  EXPECT_EQ(table.find("judge"), BackendSet::first(1)) << "its requests wait";
  table.retire(1);
  EXPECT_FALSE(table.find("a").empty());
  table.remove(0);
  EXPECT_TRUE(table.find("judge").empty());
}

TEST(ModelTable, TakesABackendsOwnListInsteadOfWhatIsConfigured) {
  ModelTable table;
  table.expect(0, {.names = {"a", "b"}});
  EXPECT_EQ(table.find("b"), BackendSet::first(1)) << "its requests wait";
  table.set(0, {{"a", R"({"id":"a"})"}});
  EXPECT_TRUE(table.find("b").empty());
  table.set_anything(0);
  EXPECT_EQ(table.names(), "a, b") << "it tells no list any more";
}

TEST(ModelTable, ShowsWhatIsConfiguredForABackendThatHasNoList) {
  ModelTable table;
  table.expect(0, {.names = {"a", "\"b\""}});
  table.expect(1);
  EXPECT_FALSE(table.has_list());
  EXPECT_TRUE(table.set_unlisted(0));
  EXPECT_FALSE(table.set_unlisted(0)) << "nothing new";
  table.set(1, {{"c", R"({"id":"c"})"}, {"a", R"({"id":"a"})"}});
  EXPECT_TRUE(table.complete());
  EXPECT_TRUE(table.has_list());
  EXPECT_EQ(table.find("a"), BackendSet::first(2));
  EXPECT_EQ(table.models_json(),
            R"({"object":"list","data":[)"
            R"({"id":"a","object":"model","created":0,"owned_by":"batchproxy"},)"
            R"({"id":"\"b\"","object":"model","created":0,"owned_by":"batchproxy"},{"id":"c"}]})");
  table.configure(0, {"d"});
  EXPECT_EQ(table.names(), "d, c, a");
  table.set(0, {{"e", "{}"}});
  EXPECT_EQ(table.names(), "e, c, a") << "it has got a list";
  EXPECT_TRUE(table.set_unlisted(0));
  EXPECT_EQ(table.names(), "d, c, a");
  table.expect(2, {.names = {"ours"}, .always = true});
  EXPECT_TRUE(table.set_unlisted(2));
  EXPECT_EQ(table.names(), "d, c, a, ours");
}

TEST(ModelTable, TellsWhetherWhatABackendSaysIsNew) {
  ModelTable table;
  table.expect(0);
  EXPECT_TRUE(table.set(0, {}));
  EXPECT_FALSE(table.set(0, {}));
  EXPECT_TRUE(table.set(0, {{"a", "{}"}}));
  const std::uint64_t version = table.version();
  EXPECT_FALSE(table.set(0, {{"a", "{}"}}));
  EXPECT_EQ(table.version(), version);
  table.set_anything(0);
  EXPECT_TRUE(table.set(0, {}));
}

TEST(ModelTable, ForgetsWhatABackendNoLongerServes) {
  ModelTable table;
  table.set(0, {{"old", "{}"}});
  table.set(0, {{"new", "{}"}});
  EXPECT_TRUE(table.find("old").empty());
  EXPECT_FALSE(table.find("new").empty());
}

TEST(ModelTable, ForgetsABackendThatIsNoneAnyMore) {
  ModelTable table;
  table.set(0, {{"a", R"({"id":"a"})"}, {"b", R"({"id":"b"})"}});
  table.set(1, {{"a", R"({"id":"a"})"}});
  table.set_anything(2);
  table.expect(3);
  table.remove(0);
  EXPECT_EQ(table.find("a") - table.anything(), BackendSet::first(2) - BackendSet::first(1));
  EXPECT_EQ(table.names(), "a") << "nobody serves b any more";
  EXPECT_EQ(table.models_json(), R"({"object":"list","data":[{"id":"a"}]})");
  EXPECT_FALSE(table.all().contains(0));
  table.remove(2);
  EXPECT_TRUE(table.anything().empty());
  EXPECT_TRUE(table.find("b").empty());
  EXPECT_FALSE(table.complete());
  table.remove(3);
  EXPECT_TRUE(table.complete()) << "it need not say any more";
  table.remove(1);
  EXPECT_TRUE(table.all().empty());
  EXPECT_TRUE(table.by_name().empty());
}

TEST(ModelTable, SendsAnythingToABackendThatWillNotSayUntilItDoes) {
  ModelTable table;
  table.expect(0);
  table.set_anything(0);
  EXPECT_TRUE(table.complete());
  EXPECT_EQ(table.find("whatever"), BackendSet::first(1));
  EXPECT_EQ(table.find(""), BackendSet::first(1));
  EXPECT_EQ(table.names(), "");
  table.set(0, {{"a", "{}"}});
  EXPECT_TRUE(table.find("whatever").empty());
  EXPECT_EQ(table.find("a"), BackendSet::first(1));
}

TEST(ModelTable, LeavesAKnownModelWithThoseThatListIt) {
  ModelTable table;
  table.set(0, {{"a", "{}"}});
  EXPECT_TRUE(table.set_anything(1));
  EXPECT_FALSE(table.set_anything(1)) << "nothing new";
  EXPECT_EQ(table.find("a"), BackendSet::first(1));
  EXPECT_EQ(table.find("b"), BackendSet::first(2) - BackendSet::first(1));
  EXPECT_EQ(table.find(""), BackendSet::first(2));
}

TEST(ModelTable, HasAnotherVersionAfterEveryChangeAlsoOfACopy) {
  ModelTable table;
  std::uint64_t last = table.version();
  const auto grows = [&] { return table.version() > std::exchange(last, table.version()); };
  table.expect(0);
  EXPECT_TRUE(grows());
  table.set(0, {{"a", "{}"}});
  EXPECT_TRUE(grows());
  table.set_anything(1);
  EXPECT_TRUE(grows());
  table.remove(1);
  EXPECT_TRUE(grows());
  table = ModelTable(table);
  EXPECT_EQ(table.version(), last);
}

}  // namespace
}  // namespace batchproxy
