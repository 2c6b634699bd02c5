// tests/proxy/sites_test.cc - which backend has which id over many reloads.
#include "proxy/control/sites.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

BackendSite site(const std::string& authority, const std::string& api_key = "",
                 std::uint32_t max_num_seqs = 256) {
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->id = 999;  // as it comes, an id means nothing
  endpoint->name = endpoint->authority = authority;
  endpoint->api_key = api_key;
  return {.endpoint = endpoint, .max_num_seqs = max_num_seqs};
}

std::vector<BackendSite> sites_of(std::initializer_list<const char*> names) {
  std::vector<BackendSite> made;
  for (const char* name : names) made.push_back(site(name));
  return made;
}

std::vector<BackendSite> many(std::size_t count, const std::string& prefix) {
  std::vector<BackendSite> made;
  for (std::size_t i = 0; i < count; ++i) made.push_back(site(prefix + std::to_string(i)));
  return made;
}

bool is_empty(const Sites::Changes& changes) {
  return changes.added.empty() && changes.removed.empty() && changes.rekeyed.empty() &&
         changes.retold.empty() && changes.changed.empty();
}

class SitesTest : public testing::Test {
 protected:
  std::optional<Sites::Changes> replace(const std::vector<BackendSite>& wanted) {
    return sites_.replace(wanted, [this](BackendId id) { return busy_.contains(id); });
  }
  std::string name(BackendId id) const { return sites_[id].endpoint->authority; }

  Sites sites_{sites_of({"a:1", "b:1", "c:1"})};
  std::set<BackendId> busy_;
};

TEST_F(SitesTest, ChangesNothingWhenTheSameAreWantedInAnyOrder) {
  const auto changes = replace(sites_of({"c:1", "a:1", "b:1"}));
  ASSERT_TRUE(changes);
  EXPECT_TRUE(is_empty(*changes));
  EXPECT_EQ(sites_.all().size(), 3u);
  EXPECT_EQ(name(0), "a:1");
  EXPECT_EQ(name(2), "c:1");
}

TEST_F(SitesTest, KeepsTheIdsOfThoseThatStay) {
  const auto changes = replace(sites_of({"d:1", "c:1", "a:1"}));
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->removed, ElementsAre(1));
  EXPECT_THAT(changes->added, ElementsAre(3));
  EXPECT_THAT(changes->changed, IsEmpty());
  EXPECT_EQ(name(0), "a:1");
  EXPECT_TRUE(sites_[1].removed);
  EXPECT_EQ(name(1), "b:1") << "whose last answers are still to be told apart";
  EXPECT_EQ(name(2), "c:1");
  EXPECT_EQ(name(3), "d:1");
  EXPECT_EQ(sites_[3].endpoint->id, 3u);
}

TEST_F(SitesTest, GivesTheIdOfOneThatHasGoneToAnotherOnlyInALaterReload) {
  replace(sites_of({"a:1", "c:1"}));
  const auto changes = replace(sites_of({"a:1", "c:1", "d:1", "e:1"}));
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->added, ElementsAre(1, 3));
  EXPECT_EQ(name(1), "d:1");
  EXPECT_EQ(sites_[1].endpoint->id, 1u);
  EXPECT_FALSE(sites_[1].removed);
  EXPECT_EQ(name(3), "e:1");
}

TEST_F(SitesTest, GivesAwayNoIdThatIsStillInUse) {
  replace(sites_of({"a:1"}));
  busy_ = {1};
  const auto changes = replace(sites_of({"a:1", "d:1", "e:1"}));
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->added, ElementsAre(2, 3));
  EXPECT_TRUE(sites_[1].removed);
}

TEST_F(SitesTest, TakesOneThatComesBackForANewOne) {
  replace(sites_of({"a:1", "b:1"}));
  busy_ = {2};
  const auto changes = replace(sites_of({"a:1", "b:1", "c:1"}));
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->added, ElementsAre(3));
  EXPECT_TRUE(sites_[2].removed);
  EXPECT_EQ(name(3), "c:1");
}

TEST_F(SitesTest, DoesNotRemoveTheSameOneTwice) {
  replace(sites_of({"a:1", "b:1"}));
  const auto changes = replace(sites_of({"a:1", "b:1"}));
  ASSERT_TRUE(changes);
  EXPECT_TRUE(is_empty(*changes));
}

TEST_F(SitesTest, GivesAServerThatStaysItsNewKey) {
  const auto changes = replace({site("a:1", "secret"), site("b:1"), site("c:1")});
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->rekeyed, ElementsAre(0));
  EXPECT_THAT(changes->added, IsEmpty());
  EXPECT_THAT(changes->removed, IsEmpty());
  EXPECT_EQ(sites_[0].endpoint->api_key, "secret");
  EXPECT_EQ(sites_[0].endpoint->id, 0);
}

TEST_F(SitesTest, TellsHowOneThatStaysIsSeenToLiveAndWhatItServes) {
  BackendSite named = site("a:1"), elsewhere = site("b:1");
  named.models = {"m"};
  auto endpoint = std::make_shared<Endpoint>(*elsewhere.endpoint);
  endpoint->health_path = "/healthz";
  elsewhere.endpoint = endpoint;
  const auto changes = replace({named, elsewhere, site("c:1")});
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->retold, ElementsAre(0, 1));
  EXPECT_THAT(changes->rekeyed, IsEmpty());
  EXPECT_THAT(sites_[0].models, ElementsAre("m"));
  EXPECT_EQ(sites_[1].endpoint->health_path, "/healthz");
  EXPECT_EQ(sites_[1].endpoint->id, 1);
  EXPECT_TRUE(is_empty(*replace({named, elsewhere, site("c:1")})));
}

TEST_F(SitesTest, LeavesAServerThatGetsANewKeyWhereItIs) {
  Endpoint found = *sites_[0].endpoint;
  found.id = 0;
  found.addresses = {{boost::asio::ip::address_v4::loopback(), 1}};
  sites_.set_endpoint(std::make_shared<const Endpoint>(found));
  ASSERT_TRUE(replace({site("a:1", "secret"), site("b:1"), site("c:1")}));
  EXPECT_EQ(sites_[0].endpoint->api_key, "secret");
  EXPECT_EQ(sites_[0].endpoint->addresses, found.addresses);
}

TEST_F(SitesTest, KeepsBothWhenOneServerIsWantedTwice) {
  const std::vector<BackendSite> twice{site("a:1", "one"), site("a:1", "two")};
  replace(twice);
  const auto changes = replace(twice);
  ASSERT_TRUE(changes);
  EXPECT_TRUE(is_empty(*changes));
}

TEST_F(SitesTest, TellsHowMuchOneThatStaysTakesAtOnce) {
  const auto changes = replace({site("a:1"), site("b:1", "", 64), site("c:1")});
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->changed, ElementsAre(1));
  EXPECT_THAT(changes->added, IsEmpty());
  EXPECT_THAT(changes->removed, IsEmpty());
  EXPECT_EQ(sites_[1].max_num_seqs, 64u);
}

TEST_F(SitesTest, CanDoWithoutAny) {
  const auto changes = replace({});
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->removed, ElementsAre(0, 1, 2));
  const auto again = replace(sites_of({"x:1"}));
  ASSERT_TRUE(again);
  EXPECT_THAT(again->added, ElementsAre(0));
}

TEST_F(SitesTest, RefusesMoreThanThereAreIdsForAndChangesNothing) {
  ASSERT_TRUE(replace(many(BackendSet::kMax - 3, "n")));  // a, b and c still have theirs
  EXPECT_EQ(sites_.all().size(), BackendSet::kMax);
  auto wanted = many(BackendSet::kMax - 3, "n");
  wanted.erase(wanted.begin());
  for (const char* more : {"x:1", "y:1", "z:1", "too:1"}) wanted.push_back(site(more));
  EXPECT_FALSE(replace(wanted)) << "n0 is removed only now";
  EXPECT_FALSE(sites_[3].removed);
  EXPECT_TRUE(sites_[0].removed);
  EXPECT_EQ(name(0), "a:1");
  wanted.pop_back();
  busy_ = {2};
  EXPECT_FALSE(replace(wanted)) << "c is not done yet";
  busy_.clear();
  const auto changes = replace(wanted);
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->added, ElementsAre(0, 1, 2));
  EXPECT_THAT(changes->removed, ElementsAre(3));
}

}  // namespace
}  // namespace batchproxy
