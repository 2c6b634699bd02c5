// tests/backends/model_table_test.cc - ModelTable: names to backends.
#include "backends/model_table.h"

#include <deque>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using Kind = ModelList::Kind;

// Backends as a test describes them, and the table that follows.
class ModelTableTest : public testing::Test {
 protected:
  // `served`: what it says; `models`: what is configured for it.
  BackendRecord& add(ModelList served, std::vector<std::string> models = {},
                     BackendOrigin origin = BackendOrigin::kGiven) {
    Endpoint endpoint;
    endpoint.id = static_cast<BackendId>(backends_.size());
    BackendRecord& backend = backends_.emplace_back();
    backend.endpoint = std::make_shared<const Endpoint>(endpoint);
    backend.origin = origin;
    backend.models = std::move(models);
    backend.served = std::move(served);
    return backend;
  }
  // One of the names `ids`, each with an object of its own.
  static ModelList listed(std::initializer_list<const char*> ids) {
    ModelList list{Kind::kListed};
    for (const std::string id : ids) list.models.push_back({id, R"({"id":")" + id + R"("})"});
    return list;
  }
  ModelTable table() const {
    std::vector<BackendPtr> all;
    for (const BackendRecord& backend : backends_)
      all.push_back(std::make_shared<const BackendRecord>(backend));
    return ModelTable(all, 1);
  }
  static BackendSet only(BackendId id) { return BackendSet::first(id + 1) - BackendSet::first(id); }

  std::deque<BackendRecord> backends_;
};

TEST_F(ModelTableTest, MapsEveryNameToTheBackendsThatServeIt) {
  add(listed({"a", "alias"}));
  BackendRecord& second = add({});
  EXPECT_FALSE(table().complete());
  second.served = listed({"a"});
  EXPECT_TRUE(table().complete());
  EXPECT_EQ(table().find("a"), BackendSet::first(2));
  EXPECT_EQ(table().find("alias"), BackendSet::first(1));
  EXPECT_TRUE(table().find("b").empty());
  EXPECT_EQ(table().find(""), BackendSet::first(2));
  EXPECT_EQ(table().names(), "a, alias");
  EXPECT_EQ(table().models_json(), R"({"object":"list","data":[{"id":"a"},{"id":"alias"}]})");
}

TEST_F(ModelTableTest, KeepsTheOrderInWhichTheBackendsNameTheirModels) {
  add({Kind::kListed, {{"zeta", R"({"id":"zeta"})"}, {"lora", R"({"id":"lora","of":0})"}}});
  add(listed({"lora", "more"}));
  EXPECT_EQ(table().names(), "zeta, lora, more");
  EXPECT_EQ(table().models_json(),
            R"({"object":"list","data":[{"id":"zeta"},{"id":"lora","of":0},{"id":"more"}]})");
}

TEST_F(ModelTableTest, KnowsWhatOurEnginesWillServeFromTheStartToTheEnd) {
  BackendRecord& engine = add({}, {"judge"}, BackendOrigin::kLaunched);
  BackendRecord& other = add({}, {}, BackendOrigin::kLaunched);
  EXPECT_EQ(table().find("judge"), only(0));
  EXPECT_FALSE(table().has_list()) << "it has not said so itself";
  other.served = listed({"a"});
  EXPECT_TRUE(table().has_list());
  EXPECT_EQ(table().names(), "a, judge");
  EXPECT_EQ(table().models_json(), R"({"object":"list","data":[{"id":"a"}]})");
  EXPECT_FALSE(table().complete());
  engine.state = BackendState::kFailed;
  EXPECT_TRUE(table().complete()) << "it will not name more";
  EXPECT_EQ(table().find("judge"), only(0)) << "its requests wait";
  other.state = BackendState::kFailed;
  EXPECT_EQ(table().find("a"), only(1)) << "likewise";
  engine.served = listed({"lora"});
  EXPECT_EQ(table().find("judge"), only(0)) << "beside its own list";
}

TEST_F(ModelTableTest, TakesAServersOwnListInsteadOfWhatIsConfigured) {
  BackendRecord& server = add({}, {"a", "b"});
  EXPECT_EQ(table().find("b"), only(0)) << "its requests wait";
  server.served = listed({"a"});
  EXPECT_TRUE(table().find("b").empty());
  server.served = {Kind::kWithheld};
  EXPECT_EQ(table().names(), "a, b") << "it tells no list any more";
}

TEST_F(ModelTableTest, ShowsWhatIsConfiguredForABackendThatHasNoList) {
  BackendRecord& server = add({}, {"a", "\"b\""});
  add(listed({"c", "a"}));
  EXPECT_FALSE(table().complete());
  server.served = {Kind::kUnlisted};
  EXPECT_TRUE(table().complete());
  EXPECT_EQ(table().find("a"), BackendSet::first(2));
  EXPECT_EQ(table().models_json(),
            R"({"object":"list","data":[)"
            R"({"id":"a","object":"model","created":0,"owned_by":"batchproxy"},)"
            R"({"id":"\"b\"","object":"model","created":0,"owned_by":"batchproxy"},{"id":"c"}]})");
  server.models = {"d"};
  EXPECT_EQ(table().names(), "d, c, a");
  server.served = listed({"e"});
  EXPECT_EQ(table().names(), "e, c, a") << "it has got a list";
  add({Kind::kUnlisted}, {"ours"}, BackendOrigin::kLaunched);
  EXPECT_EQ(table().names(), "e, c, a, ours");
}

TEST_F(ModelTableTest, LeavesOutABackendThatIsNoneAnyMore) {
  BackendRecord& gone = add(listed({"a", "b"}));
  add(listed({"a"}));
  BackendRecord& unsaid = add({});
  BackendRecord& withheld = add({Kind::kWithheld});
  gone.state = unsaid.state = withheld.state = BackendState::kDraining;
  EXPECT_EQ(table().find("a"), only(1));
  EXPECT_EQ(table().names(), "a") << "nobody serves b any more";
  EXPECT_TRUE(table().find("b").empty());
  EXPECT_EQ(table().models_json(), R"({"object":"list","data":[{"id":"a"}]})");
  EXPECT_TRUE(table().complete()) << "it need not say any more";
  EXPECT_EQ(table().all(), only(1));
  backends_[1].state = BackendState::kRemoved;
  EXPECT_TRUE(table().all().empty());
  EXPECT_TRUE(table().by_name().empty());
}

TEST_F(ModelTableTest, SendsAnythingToABackendThatWithholdsItsListUntilItDoesNot) {
  BackendRecord& server = add({Kind::kWithheld});
  EXPECT_TRUE(table().complete());
  EXPECT_EQ(table().find("whatever"), only(0));
  EXPECT_EQ(table().find(""), only(0));
  EXPECT_EQ(table().names(), "");
  server.served = listed({"a"});
  EXPECT_TRUE(table().find("whatever").empty());
  EXPECT_EQ(table().find("a"), only(0));
}

TEST_F(ModelTableTest, LeavesAKnownModelWithThoseThatListIt) {
  add(listed({"a"}));
  add({Kind::kWithheld});
  EXPECT_EQ(table().find("a"), only(0));
  EXPECT_EQ(table().find("b"), only(1));
  EXPECT_EQ(table().find(""), BackendSet::first(2));
}

}  // namespace
}  // namespace batchproxy
