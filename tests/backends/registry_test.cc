// tests/backends/registry_test.cc - which backend has which id over many reloads, what becomes of
// one by what is seen of it, and what the others are told.
#include "backends/registry.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

BackendRecord server(const std::string& authority, const std::string& api_key = "",
                     std::uint32_t max_num_seqs = 256) {
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->id = 999;  // as it comes, an id means nothing
  endpoint->name = endpoint->authority = authority;
  endpoint->api_key = api_key;
  return {.endpoint = endpoint, .traits = {.max_num_seqs = max_num_seqs}};
}

std::vector<BackendRecord> servers(std::initializer_list<const char*> names) {
  std::vector<BackendRecord> made;
  for (const char* name : names) made.push_back(server(name));
  return made;
}

std::vector<BackendRecord> many(std::size_t count, const std::string& prefix) {
  std::vector<BackendRecord> made;
  for (std::size_t i = 0; i < count; ++i) made.push_back(server(prefix + std::to_string(i)));
  return made;
}

bool is_empty(const BackendRegistry::Changes& changes) {
  return changes.added.empty() && changes.removed.empty() && changes.retold.empty();
}

class RegistryTest : public testing::Test {
 protected:
  std::optional<BackendRegistry::Changes> replace(const std::vector<BackendRecord>& wanted) {
    return registry_.replace(wanted, [this](BackendId id) { return busy_.contains(id); });
  }
  std::string name(BackendId id) const { return registry_[id].endpoint->authority; }

  BackendRegistry registry_{servers({"a:1", "b:1", "c:1"})};
  std::set<BackendId> busy_;
};

TEST_F(RegistryTest, ChangesNothingWhenTheSameAreWantedInAnyOrder) {
  const auto changes = replace(servers({"c:1", "a:1", "b:1"}));
  ASSERT_TRUE(changes);
  EXPECT_TRUE(is_empty(*changes));
  EXPECT_EQ(registry_.roster()->all().size(), 3u);
  EXPECT_EQ(name(0), "a:1");
  EXPECT_EQ(name(2), "c:1");
}

TEST_F(RegistryTest, KeepsTheIdsOfThoseThatStay) {
  const auto changes = replace(servers({"d:1", "c:1", "a:1"}));
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->removed, ElementsAre(1));
  EXPECT_THAT(changes->added, ElementsAre(3));
  EXPECT_EQ(name(0), "a:1");
  EXPECT_FALSE(registry_[1].is_present());
  EXPECT_EQ(name(1), "b:1") << "whose last answers are still to be told apart";
  EXPECT_EQ(name(2), "c:1");
  EXPECT_EQ(name(3), "d:1");
  EXPECT_EQ(registry_[3].endpoint->id, 3u);
}

TEST_F(RegistryTest, GivesTheIdOfOneThatHasGoneToAnotherOnlyInALaterReload) {
  replace(servers({"a:1", "c:1"}));
  const auto changes = replace(servers({"a:1", "c:1", "d:1", "e:1"}));
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->added, ElementsAre(1, 3));
  EXPECT_EQ(name(1), "d:1");
  EXPECT_EQ(registry_[1].endpoint->id, 1u);
  EXPECT_TRUE(registry_[1].is_present());
  EXPECT_EQ(name(3), "e:1");
}

TEST_F(RegistryTest, GivesAwayNoIdThatIsStillInUse) {
  replace(servers({"a:1"}));
  busy_ = {1};
  const auto changes = replace(servers({"a:1", "d:1", "e:1"}));
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->added, ElementsAre(2, 3));
  EXPECT_FALSE(registry_[1].is_present());
}

TEST_F(RegistryTest, TakesOneThatComesBackForANewOne) {
  replace(servers({"a:1", "b:1"}));
  busy_ = {2};
  const auto changes = replace(servers({"a:1", "b:1", "c:1"}));
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->added, ElementsAre(3));
  EXPECT_FALSE(registry_[2].is_present());
  EXPECT_EQ(name(3), "c:1");
}

TEST_F(RegistryTest, DoesNotRemoveTheSameOneTwice) {
  replace(servers({"a:1", "b:1"}));
  const auto changes = replace(servers({"a:1", "b:1"}));
  ASSERT_TRUE(changes);
  EXPECT_TRUE(is_empty(*changes));
}

TEST_F(RegistryTest, GivesAServerThatStaysItsNewKey) {
  const auto changes = replace({server("a:1", "secret"), server("b:1"), server("c:1")});
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->retold, ElementsAre(0));
  EXPECT_THAT(changes->added, IsEmpty());
  EXPECT_THAT(changes->removed, IsEmpty());
  EXPECT_EQ(registry_[0].endpoint->api_key, "secret");
  EXPECT_EQ(registry_[0].endpoint->id, 0);
}

TEST_F(RegistryTest, TellsHowOneThatStaysIsSeenToLiveAndWhatItServes) {
  BackendRecord named = server("a:1"), elsewhere = server("b:1");
  named.models = {"m"};
  auto endpoint = std::make_shared<Endpoint>(*elsewhere.endpoint);
  endpoint->health_path = "/healthz";
  elsewhere.endpoint = endpoint;
  const auto changes = replace({named, elsewhere, server("c:1")});
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->retold, ElementsAre(1)) << "names are no business of who asks it";
  EXPECT_THAT(registry_[0].models, ElementsAre("m"));
  EXPECT_EQ(registry_[1].endpoint->health_path, "/healthz");
  EXPECT_EQ(registry_[1].endpoint->id, 1);
  EXPECT_TRUE(is_empty(*replace({named, elsewhere, server("c:1")})));
}

TEST_F(RegistryTest, LeavesAServerThatGetsANewKeyWhereItIs) {
  Endpoint found = *registry_[0].endpoint;
  found.id = 0;
  found.addresses = {{boost::asio::ip::address_v4::loopback(), 1}};
  registry_.set_endpoint(std::make_shared<const Endpoint>(found));
  ASSERT_TRUE(replace({server("a:1", "secret"), server("b:1"), server("c:1")}));
  EXPECT_EQ(registry_[0].endpoint->api_key, "secret");
  EXPECT_EQ(registry_[0].endpoint->addresses, found.addresses);
}

TEST_F(RegistryTest, KeepsBothWhenOneServerIsWantedTwice) {
  const std::vector<BackendRecord> twice{server("a:1", "one"), server("a:1", "two")};
  replace(twice);
  const auto changes = replace(twice);
  ASSERT_TRUE(changes);
  EXPECT_TRUE(is_empty(*changes));
}

TEST_F(RegistryTest, TellsHowMuchOneThatStaysTakesAtOnce) {
  const auto changes = replace({server("a:1"), server("b:1", "", 64), server("c:1")});
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->retold, IsEmpty()) << "the monitor does not care";
  EXPECT_THAT(changes->added, IsEmpty());
  EXPECT_THAT(changes->removed, IsEmpty());
  EXPECT_EQ(registry_[1].traits.max_num_seqs, 64u);
}

TEST_F(RegistryTest, CanDoWithoutAny) {
  const auto changes = replace({});
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->removed, ElementsAre(0, 1, 2));
  const auto again = replace(servers({"x:1"}));
  ASSERT_TRUE(again);
  EXPECT_THAT(again->added, ElementsAre(0));
}

TEST_F(RegistryTest, RefusesMoreThanThereAreIdsForAndChangesNothing) {
  ASSERT_TRUE(replace(many(BackendSet::kMax - 3, "n")));  // a, b and c still have theirs
  EXPECT_EQ(registry_.roster()->all().size(), BackendSet::kMax);
  auto wanted = many(BackendSet::kMax - 3, "n");
  wanted.erase(wanted.begin());
  for (const char* more : {"x:1", "y:1", "z:1", "too:1"}) wanted.push_back(server(more));
  EXPECT_FALSE(replace(wanted)) << "n0 is removed only now";
  EXPECT_TRUE(registry_[3].is_present());
  EXPECT_FALSE(registry_[0].is_present());
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

TEST_F(RegistryTest, DrainsOneThatIsRemovedUntilNothingIsInFlight) {
  busy_ = {1};
  replace(servers({"a:1", "c:1"}));
  EXPECT_EQ(registry_[1].state, BackendState::kDraining);
  replace(servers({"a:1", "c:1"}));
  EXPECT_EQ(registry_[1].state, BackendState::kDraining) << "it has not finished";
  busy_ = {};
  replace(servers({"a:1", "c:1"}));
  EXPECT_EQ(registry_[1].state, BackendState::kRemoved);
}

TEST_F(RegistryTest, TellsTwoThatHaveTheSameIdApart) {
  replace(servers({"a:1", "c:1"}));
  const std::uint32_t first = registry_[1].generation;
  replace(servers({"a:1", "c:1", "d:1"}));
  EXPECT_EQ(name(1), "d:1");
  EXPECT_NE(registry_[1].generation, first);
}

TEST_F(RegistryTest, GivesANewOneNothingOfTheLifeBeforeIt) {
  registry_.apply(1, BackendEvent::kProbePassed);
  registry_.set_keyed(1, true);
  replace(servers({"a:1", "c:1"}));
  replace(servers({"a:1", "c:1", "d:1"}));
  EXPECT_EQ(registry_[1].state, BackendState::kConfigured);
  EXPECT_FALSE(registry_[1].was_ready);
  EXPECT_FALSE(registry_[1].keyed);
}

TEST_F(RegistryTest, KnowsWhichAreReadyAndWhyOthersAreNot) {
  EXPECT_TRUE(registry_.apply(0, BackendEvent::kProbePassed).moved());
  registry_.apply(2, BackendEvent::kProbeFailed, "it is asleep");
  EXPECT_EQ(registry_.roster()->ready(), BackendSet::first(1));
  EXPECT_EQ(registry_[2].state, BackendState::kUnready);
  EXPECT_EQ(registry_[2].why, "it is asleep");
  registry_.apply(2, BackendEvent::kProbePassed);
  EXPECT_EQ(registry_[2].why, "");
  EXPECT_TRUE(registry_[2].was_ready);
}

TEST_F(RegistryTest, PublishesEveryChangeOnceAndNeverChangesWhatItPublished) {
  std::vector<RosterPtr> told;
  registry_.watch([&](const RosterPtr& roster) { told.push_back(roster); });
  registry_.apply(0, BackendEvent::kProbePassed);
  registry_.apply(0, BackendEvent::kProbePassed);
  registry_.set_traits(0, {.max_num_seqs = 8});
  registry_.set_traits(0, {.max_num_seqs = 8});
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ((*told[0])[0].traits.max_num_seqs, 256u);
  EXPECT_EQ((*told[1])[0].traits.max_num_seqs, 8u);
  EXPECT_EQ(told[0]->all()[1], told[1]->all()[1]) << "one that has not changed is not copied";
}

TEST_F(RegistryTest, TellsNobodyOfANewReasonAlone) {
  registry_.apply(0, BackendEvent::kProbeFailed, "it refuses connections");
  int told = 0;
  registry_.watch([&](const RosterPtr&) { ++told; });
  EXPECT_FALSE(registry_.apply(0, BackendEvent::kProbeFailed, "it is silent").moved());
  EXPECT_EQ(registry_[0].why, "it is silent");
  EXPECT_EQ(told, 0);
}

TEST_F(RegistryTest, MakesATableOfModelsWheneverOneServesOtherwiseAndOnlyThen) {
  ModelTablePtr last = registry_.roster()->models();
  const auto is_new = [&] {
    const ModelTablePtr now = registry_.roster()->models();
    const bool newer = now->version() > last->version();
    EXPECT_EQ(newer, now != last);
    last = now;
    return newer;
  };
  const ModelList list{ModelList::Kind::kListed, {{"a", "{}"}}};
  registry_.set_served(0, list);
  EXPECT_TRUE(is_new());
  EXPECT_EQ(last->find("a"), BackendSet::first(1));
  registry_.set_served(0, list);
  EXPECT_FALSE(is_new()) << "it has said so before";
  registry_.apply(0, BackendEvent::kProbePassed);
  registry_.set_traits(0, {.max_num_seqs = 8});
  EXPECT_FALSE(is_new());
  registry_.set_served(1, {ModelList::Kind::kWithheld});
  EXPECT_TRUE(is_new());
  BackendRecord named = server("c:1");
  named.models = {"judge"};
  replace({server("a:1"), server("b:1"), named});
  EXPECT_TRUE(is_new());
  EXPECT_FALSE(last->find("judge").contains(0));
  replace({server("a:1"), named});
  EXPECT_TRUE(is_new()) << "one is none any more";
}

TEST_F(RegistryTest, OneThatComesInThePlaceOfAnotherMayServeAnything) {
  for (const BackendId id : {0u, 1u, 2u}) {
    registry_.set_served(id, {ModelList::Kind::kListed, {{"a", "{}"}}});
  }
  EXPECT_TRUE(registry_.roster()->models()->complete());
  replace(servers({"a:1", "b:1", "d:1"}));
  EXPECT_FALSE(registry_.roster()->models()->complete())
      << "at no time are all known: d is awaited";
  EXPECT_FALSE(registry_.roster()->models()->find("a").contains(2));
}

TEST_F(RegistryTest, ForgetsOneModelUntilItIsSaidAgain) {
  const ModelList list{ModelList::Kind::kListed, {{"m", "{}"}, {"lora", "{}"}}};
  registry_.set_served(0, list);
  registry_.forget_model(0, "lora");
  EXPECT_TRUE(registry_.roster()->models()->find("lora").empty());
  EXPECT_TRUE(registry_.roster()->models()->find("m").contains(0));
  registry_.set_served(0, list);
  EXPECT_TRUE(registry_.roster()->models()->find("lora").contains(0));
}

}  // namespace
}  // namespace batchproxy
