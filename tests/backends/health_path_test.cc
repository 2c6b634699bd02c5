// tests/backends/health_path_test.cc - which path each kind of server is asked, and what is
// believed of its answers.
#include "backends/health/health_path.h"

#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Kind = HealthPath::Finding::Kind;

struct Page {
  unsigned status;
  std::string body{};
};
using Server = std::map<std::string, Page>;  // what it does not have is 404

const Server kVllm{{"/health", {200}}, {"/v1/models", {200}}};
const Server kOllama{{"/v1/models", {200}}};
const Server kMosec{};
const Server kBentoMl{{"/healthz", {200}}};
const Server kLiteLlm{{"/health", {200, R"({"healthy_endpoints":[{}],"unhealthy_endpoints":[]})"}},
                      {"/health/liveliness", {200, R"("I'm alive!")"}},
                      {"/v1/models", {200}}};
const Server kGuardedLiteLlm{
    {"/health", {401, R"({"error":{"message":"No api key","type":"auth_error","code":"401"}})"}},
    {"/health/liveliness", {200, R"("I'm alive!")"}},
    {"/v1/models", {401}}};

Server all(unsigned status) {
  return {{"/health", {status}}, {"/v1/models", {status}}, {"/health/liveliness", {status}}};
}

class HealthPathTest : public testing::Test {
 protected:
  // One look: true when it is found alive. `asked_` is what that took.
  bool look(const Server& server) {
    asked_.clear();
    std::string path = health_.begin(known_);
    while (true) {
      asked_.push_back(path);
      const auto page = server.find(path);
      const Page answer = page == server.end() ? Page{404} : page->second;
      const HealthPath::Finding finding = health_.on_answer(answer.status, answer.body);
      if (finding.kind == Kind::kAsk) {
        path = finding.text;
        continue;
      }
      problem_ = finding.text;
      return finding.kind == Kind::kAlive;
    }
  }

  HealthPath health_;
  HealthPath::Known known_;
  std::vector<std::string> asked_;
  std::string problem_;
};

TEST_F(HealthPathTest, IsHealthWhereThereIsOne) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(look(kVllm));
    EXPECT_THAT(asked_, ElementsAre("/health"));
  }
  EXPECT_TRUE(look({{"/health", {204}}}));
}

TEST_F(HealthPathTest, BelievesAHealthThatSaysNo) {
  for (const unsigned status : {301U, 400U, 401U, 500U, 503U}) {
    EXPECT_FALSE(look({{"/health", {status}}, {"/v1/models", {200}}}));
    EXPECT_THAT(asked_, ElementsAre("/health"));
    EXPECT_THAT(problem_, HasSubstr("GET /health answered " + std::to_string(status)));
  }
}

TEST_F(HealthPathTest, IsTheListOfModelsWhereThereIsNoHealth) {
  for (const unsigned missing : {404U, 405U, 501U}) {
    health_ = {};
    EXPECT_TRUE(look({{"/health", {missing}}, {"/v1/models", {200}}}));
    EXPECT_THAT(asked_, ElementsAre("/health", "/v1/models"));
  }
  EXPECT_TRUE(look(kOllama));
  EXPECT_THAT(asked_, ElementsAre("/v1/models")) << "it is known that it has no /health";
}

TEST_F(HealthPathTest, TakesAListThatIsKeptToHoldersOfAKeyForLife) {
  EXPECT_TRUE(look({{"/v1/models", {401}}}));
  known_.has_key = true;
  EXPECT_FALSE(look({{"/v1/models", {401}}})) << "so it is the wrong one";
  EXPECT_THAT(problem_, HasSubstr("api_key"));
}

TEST_F(HealthPathTest, IsAnyAnswerWhereBothAreMissingAndTheModelsAreConfigured) {
  known_.has_models = true;
  EXPECT_TRUE(look(kMosec));
  EXPECT_THAT(asked_, ElementsAre("/health", "/v1/models"));
  EXPECT_TRUE(look(kMosec));
  EXPECT_THAT(asked_, ElementsAre("/health"));
  EXPECT_TRUE(look(all(400)));
  EXPECT_FALSE(look(all(502))) << "a gateway whose server is down";
}

TEST_F(HealthPathTest, SaysWhatToWriteWhereBothAreMissing) {
  EXPECT_FALSE(look(kMosec));
  EXPECT_THAT(problem_, HasSubstr("GET /health answered 404 and GET /v1/models 404"));
  EXPECT_THAT(problem_, HasSubstr("`models`"));
  EXPECT_THAT(problem_, HasSubstr("`health_path`"));
  known_.has_models = true;
  EXPECT_TRUE(look(kMosec));
  known_.has_models = false;
  EXPECT_FALSE(look(kMosec)) << "a reload has taken the names away";
}

TEST_F(HealthPathTest, IsWhatIsConfiguredAndNothingElse) {
  known_.path = "/healthz";
  EXPECT_TRUE(look(kBentoMl));
  EXPECT_THAT(asked_, ElementsAre("/healthz"));
  EXPECT_FALSE(look(kVllm));
  EXPECT_THAT(asked_, ElementsAre("/healthz"));
  EXPECT_EQ(problem_, "GET /healthz answered 404; correct the `health_path` of this backend");
  EXPECT_FALSE(look({{"/healthz", {503}}}));
  EXPECT_EQ(problem_, "GET /healthz answered 503");
}

TEST_F(HealthPathTest, IsTheCheapOneOfALiteLlmAfterItsFirstReport) {
  EXPECT_TRUE(look(kLiteLlm));
  EXPECT_THAT(asked_, ElementsAre("/health"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(look(kLiteLlm));
    EXPECT_THAT(asked_, ElementsAre("/health/liveliness"));
    health_.forget();  // also when it comes back
  }
}

TEST_F(HealthPathTest, KnowsALiteLlmByItsRefusal) {
  EXPECT_TRUE(look(kGuardedLiteLlm));
  EXPECT_THAT(asked_, ElementsAre("/health", "/health/liveliness"));
  EXPECT_TRUE(look(kGuardedLiteLlm));
  EXPECT_THAT(asked_, ElementsAre("/health/liveliness"));
}

TEST_F(HealthPathTest, BelievesALiteLlmOnlyThatItIsAlive) {
  look(kLiteLlm);
  EXPECT_FALSE(look({{"/health/liveliness", {503, R"({"status":"shutting_down"})"}}}));
  EXPECT_THAT(asked_, ElementsAre("/health/liveliness")) << "it is still one";
  EXPECT_TRUE(look(kLiteLlm));
  EXPECT_THAT(asked_, ElementsAre("/health/liveliness"));

  Server odd = kGuardedLiteLlm;
  odd["/health/liveliness"] = {200, "hello"};
  EXPECT_FALSE(look(odd));
  EXPECT_EQ(problem_, "GET /health/liveliness answered 200, but not that it is alive");
}

TEST_F(HealthPathTest, BeginsAnewWithAnotherServerInItsPlace) {
  for (const Server& before : {kLiteLlm, kOllama}) {
    look(before);
    EXPECT_TRUE(look({{"/health", {200}}}));
    EXPECT_EQ(asked_.back(), "/health");
    EXPECT_TRUE(look(kVllm));
    EXPECT_THAT(asked_, ElementsAre("/health"));
  }
  look(kOllama);
  health_.forget();
  EXPECT_TRUE(look(kVllm));
  EXPECT_THAT(asked_, ElementsAre("/health"));
}

// Only who looked like a LiteLLM is asked for its path, and every look ends.
TEST_F(HealthPathTest, AsksNobodyElseForLivelinessAndNothingForEver) {
  const std::vector<Server> strangers{kVllm,    kOllama,  kMosec,   kBentoMl, all(401), all(404),
                                      all(405), all(500), all(501), all(503), all(204)};
  for (const bool has_models : {false, true}) {
    for (const Server& first : strangers) {
      for (const Server& second : strangers) {
        health_ = {};
        known_ = {.has_models = has_models};
        for (const Server* server : {&first, &second, &first}) {
          look(*server);
          EXPECT_LE(asked_.size(), 3u);
          EXPECT_THAT(asked_, testing::Not(testing::Contains("/health/liveliness")));
        }
      }
    }
  }
}

}  // namespace
}  // namespace batchproxy
