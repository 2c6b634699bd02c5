// tests/proxy/local_answers_test.cc - what batchproxy answers itself.
#include "proxy/wire/local_answers.h"

#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

class LocalAnswers : public testing::Test {
 protected:
  ProxyView view(std::string_view target = "/") { return {models_, ready_, load_, target, head_}; }

  ModelTable models_;
  bool ready_ = false;
  bool head_ = false;
  std::function<std::uint64_t()> load_ = [] { return std::uint64_t{7}; };
};

TEST_F(LocalAnswers, HealthIsThatOfAnyBackend) {
  EXPECT_EQ((*tell_health(view()))->status, 503u);
  EXPECT_EQ((*tell_health(view()))->retry_after, "5");
  ready_ = true;
  EXPECT_EQ((*tell_health(view()))->status, 200u);
  EXPECT_EQ((*tell_health(view()))->body, "");
}

TEST_F(LocalAnswers, LoadIsWhatThereIsToDo) {
  EXPECT_EQ((*tell_load(view()))->body, R"({"server_load":7})");
}

TEST_F(LocalAnswers, VersionIsOurs) {
  EXPECT_THAT((*tell_version(view()))->body, testing::StartsWith(R"({"version":"batchproxy )"));
}

TEST_F(LocalAnswers, MethodsAreThoseOfThePath) {
  EXPECT_EQ((*tell_methods(view("/v1/completions/?a=b")))->allow, "POST, OPTIONS");
  EXPECT_EQ((*tell_methods(view("*")))->status, 204u);
}

TEST_F(LocalAnswers, ModelsAreNotListedBeforeABackendHasSaidWhatItServes) {
  EXPECT_EQ(list_models(view())->error().code, Errc::kNoBackend);
}

TEST_F(LocalAnswers, ModelsAreAskedOfABackendThatServesAnything) {
  auto backend = std::make_shared<BackendRecord>();
  backend->endpoint = std::make_shared<const Endpoint>();
  backend->state = BackendState::kReady;
  backend->served.kind = ModelList::Kind::kWithheld;
  models_ = ModelTable({backend}, 1);
  EXPECT_FALSE(list_models(view()));
  head_ = true;
  EXPECT_EQ(list_models(view())->error().code, Errc::kNoBackend);
}

}  // namespace
}  // namespace batchproxy
