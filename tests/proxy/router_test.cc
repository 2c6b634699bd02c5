// tests/proxy/router_test.cc - the allow-list, and docs/ROUTES.md made of it.
//
// UPDATE_GOLDEN=1 writes that file instead; read the difference before you commit it.
#include "proxy/wire/router.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

TEST(Router, KnowsItsRoutes) {
  EXPECT_EQ((*find_route("POST", "/v1/completions"))->body, BodyKind::kCompletion);
  EXPECT_EQ((*find_route("POST", "/v1/chat/completions"))->handler, nullptr);
  EXPECT_EQ((*find_route("GET", "/v1/models"))->handler, &list_models);
  EXPECT_EQ((*find_route("GET", "/health"))->handler, &tell_health);
}

TEST(Router, RefusesWhatIsNotOnTheList) {
  for (const char* path : {"/", "/metrics", "/v1//completions", "/sleep", "/collective_rpc", "*"}) {
    EXPECT_EQ(find_route("POST", path).error().code, Errc::kUnknownRoute) << path;
  }
}

TEST(Router, SaysWhichMethodWouldDo) {
  const Error error = find_route("GET", "/v1/completions/").error();
  EXPECT_EQ(error.code, Errc::kMethodNotAllowed);
  EXPECT_EQ(error.allow, "POST, OPTIONS");
  EXPECT_EQ(allowed_methods("/v1/completions"), "POST, OPTIONS");
  EXPECT_EQ(allowed_methods("/health"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(allowed_methods("/tokenizer_info"), "GET, OPTIONS");
  EXPECT_EQ(allowed_methods("/elsewhere"), "");
}

TEST(Router, TakesOptionsOfAllThatIsServed) {
  for (const char* path : {"/v1/completions", "/v1/models/", "/tokenizer_info", "*"}) {
    EXPECT_EQ((*find_route("OPTIONS", path))->handler, &tell_methods) << path;
  }
  EXPECT_EQ(allowed_methods("*"), kAllMethods);
  EXPECT_EQ(find_route("OPTIONS", "/elsewhere").error().code, Errc::kUnknownRoute);
  EXPECT_EQ(find_route("options", "/v1/models").error().code, Errc::kMethodNotAllowed);
}

TEST(Router, TakesHeadWhereItAnswersItself) {
  EXPECT_TRUE(find_route("HEAD", "/ping"));
  EXPECT_FALSE(find_route("HEAD", "/tokenizer_info"));
}

TEST(Router, HandsFilesAndBatchesOver) {
  for (const char* path : {"/v1/files", "/v1/files/", "/v1/files/file-1"}) {
    EXPECT_TRUE((*find_route("GET", path))->handed_over) << path;
  }
  EXPECT_TRUE((*find_route("DELETE", "/v1/files/file-1"))->handed_over);
  EXPECT_TRUE((*find_route("GET", "/v1/files/file-1/content"))->handed_over);
  EXPECT_EQ((*find_route("OPTIONS", "/v1/files/file-1"))->handler, &tell_methods);
  EXPECT_EQ(allowed_methods("/v1/files/file-1"), "GET, DELETE, OPTIONS");
  const Error error = find_route("PUT", "/v1/files").error();
  EXPECT_EQ(error.message, "/v1/files takes GET, POST, not PUT.");
  for (const char* path : {"/v1/files//content", "/v1/files/a/b", "/v1/files/a/content/b"}) {
    EXPECT_EQ(find_route("GET", path).error().code, Errc::kUnknownRoute) << path;
  }
  EXPECT_THAT(find_route("GET", "/v1/file").error().message, EndsWith("Did you mean /v1/files?"));
  EXPECT_TRUE((*find_route("POST", "/v1/batches/batch_1/cancel"))->handed_over);
  EXPECT_TRUE((*find_route("POST", "/v1/bulk"))->handed_over);
  EXPECT_EQ(find_route("DELETE", "/v1/batches/batch_1").error().code, Errc::kMethodNotAllowed);
  EXPECT_FALSE((*find_route("POST", "/v1/completions"))->handed_over);
}

TEST(Router, TakesASlashAtTheEnd) {
  EXPECT_EQ((*find_route("POST", "/v1/completions/"))->path, "/v1/completions");
  EXPECT_FALSE(find_route("POST", "/v1/completions//"));
}

TEST(Router, OnlyTokenWorkGoesAtOnce) {
  for (const char* path :
       {"/tokenize", "/detokenize", "/v1/messages/count_tokens", "/v1/chat/completions/render"}) {
    EXPECT_TRUE((*find_route("POST", path))->immediate) << path;
  }
  EXPECT_FALSE((*find_route("POST", "/v1/responses"))->immediate);
}

TEST(Router, KnowsWhereErrorsHaveATypeAlsoOfRequestsThatItRefuses) {
  for (const char* target : {"/v1/messages", "/v1/messages/?beta=true", "/v1/messages/count_tokens",
                             "/v1/responses", "/v1/responses/render"}) {
    EXPECT_EQ(error_form(target), ErrorForm::kTyped) << target;
  }
  for (const char* target : {"/v1/completions", "/v1/models", "/elsewhere", ""}) {
    EXPECT_EQ(error_form(target), ErrorForm::kPlain) << target;
  }
}

TEST(Router, SaysWhatMayHaveBeenMeant) {
  const auto says = [](const char* path) { return find_route("POST", path).error().message; };
  EXPECT_EQ(says("/chat/completions"),
            "batchproxy serves nothing at /chat/completions. Did you mean /v1/chat/completions?");
  EXPECT_THAT(says("/v1/v1/models"), EndsWith("Did you mean /v1/models?"));
  EXPECT_THAT(says("/v1/chat/completion"), EndsWith("Did you mean /v1/chat/completions?"));
  EXPECT_THAT(says("/metrics"), HasSubstr("admin address"));
  EXPECT_THAT(says("/v1/responses/resp_1"), HasSubstr("Send the conversation with each request"));
  EXPECT_THAT(says("/v1/load_lora_adapter"),
              HasSubstr("admin address (batchproxy.admin) has this path, and asks all engines"));
  EXPECT_THAT(says("/elsewhere"), EndsWith("and others: docs/ROUTES.md lists them."));
}

constexpr std::string_view kIntro = R"(# Routes

What is served at which path of `batchproxy.listen`. Another method gets 405 with `allow`, another path 404; a slash at the
end makes no difference. `OPTIONS` is taken everywhere, `HEAD` where batchproxy answers `GET` itself. What a path asks of a
backend is the backend's business: one that has no such path says so itself. The admin address has paths of its own:
`/ui` and `/ui/events` ([UI.md](UI.md)), `/status`, `/metrics`, `/livez`, `/readyz`, `/admin/config`, `/admin/requests[/ID]`
([TRACING.md](TRACING.md)), and for `POST` `/admin/reload[?KEY=VALUE]`, `/admin/drain`,
`/admin/engines/[ENGINE/]{pause,resume,stop,start,restart}`, `/v1/load_lora_adapter` and `/v1/unload_lora_adapter`.

This file is made by a test from `proxy/wire/router.cc` (`UPDATE_GOLDEN=1` rewrites it).

| method | path | answered by |
|---|---|---|
)";

std::string documented() {
  std::string text(kIntro);
  for (const Route& route : routes()) {
    text.append("| ").append(route.method).append(" | `").append(route.path).append("` | ");
    text.append(route.handler != nullptr ? "batchproxy"
                : route.decides          ? "a backend; batchproxy, where it has no such path"
                : route.immediate        ? "a backend, at once: it needs no slot"
                                         : "a backend");
    text.append(" |\n");
  }
  for (const ServicePath& path : service_paths()) {
    const std::string_view methods = path.allow.substr(0, path.allow.rfind(','));
    text.append("| ").append(methods).append(" | `").append(path.pattern);
    text.append("` | batchproxy: files and batches |\n");
  }
  return text;
}

TEST(Router, IsListedInDocsRoutesMd) {
  const std::string path = BATCHPROXY_SOURCE_DIR "/docs/ROUTES.md";
  if (std::getenv("UPDATE_GOLDEN")) std::ofstream(path) << documented();
  std::stringstream found;
  found << std::ifstream(path).rdbuf();
  EXPECT_EQ(found.str(), documented());
}

}  // namespace
}  // namespace batchproxy
