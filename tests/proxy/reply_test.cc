// tests/proxy/reply_test.cc - the heads and error bodies that clients see.
#include "proxy/wire/reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(Reply, SaysWhoAnsweredAndInWhichBatch) {
  const Provenance who{"engine-2", 17, 16, 2};
  const std::string head =
      compose_head({.status = 200, .content_type = "application/json"}, 5, {"id-1", 1, true}, &who);
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(head, HasSubstr("x-batchproxy-backend: engine-2\r\n"));
  EXPECT_THAT(head, HasSubstr("x-batchproxy-batch: 17/16\r\n"));
  EXPECT_THAT(head, HasSubstr("x-batchproxy-attempts: 2\r\n"));
  EXPECT_THAT(head, HasSubstr("content-length: 5\r\n"));
  EXPECT_THAT(head, HasSubstr("x-request-id: id-1\r\n"));
  EXPECT_THAT(head, Not(HasSubstr("connection:")));
  EXPECT_THAT(head, EndsWith("\r\n\r\n"));
}

TEST(Reply, TellsHttp10ClientsThatTheConnectionStays) {
  EXPECT_THAT(compose_head({.status = 200}, 0, {"i", 0, true}),
              HasSubstr("connection: keep-alive\r\n"));
  EXPECT_THAT(compose_head({.status = 200}, 0, {"i", 1, false}),
              HasSubstr("connection: close\r\n"));
}

TEST(Reply, FramesAnUnknownLengthInChunksExceptForHttp10) {
  EXPECT_THAT(compose_head({.status = 200}, std::nullopt, {"i", 1, true}),
              HasSubstr("transfer-encoding: chunked\r\n"));
  EXPECT_THAT(compose_head({.status = 200}, std::nullopt, {"i", 0, false}),
              Not(HasSubstr("transfer-encoding")));
}

TEST(Reply, SaysNothingOfABodyThatCannotBe) {
  EXPECT_THAT(compose_head({.status = 204}, 0, {"i", 1, true}), Not(HasSubstr("content-length")));
}

TEST(Reply, CarriesWhatABrowserIsTold) {
  const ReplyContext context{"i", 1, true, "vary: Origin\r\n"};
  EXPECT_THAT(compose_head({.status = 200}, 0, context), EndsWith("vary: Origin\r\n\r\n"));
  EXPECT_THAT(compose_error({Errc::kNoBackend, "m", ""}, context), HasSubstr("vary: Origin\r\n"));
}

TEST(ErrorReply, HasOpenAisShapeAndTheHeadersThatSteerClients) {
  const std::string answer =
      compose_error({Errc::kNoBackend, "say \"please\"", ""}, {"i", 1, true});
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(answer, HasSubstr("x-batchproxy-code: no_backend\r\n"));
  EXPECT_THAT(answer, HasSubstr("x-should-retry: true\r\n"));
  EXPECT_THAT(answer, HasSubstr("retry-after: "));
  EXPECT_THAT(answer, EndsWith("{\"error\":{\"message\":\"say \\\"please\\\"\",\"type\":"
                               "\"backend_error\",\"param\":null,\"code\":\"no_backend\"}}"));
}

TEST(ErrorReply, SaysThatItIsOneWhereObjectsHaveATypeAndEventsAName) {
  const Error error{Errc::kUnknownModel, "m", "model"};
  constexpr std::string_view kFields =
      R"("error":{"message":"m","type":"invalid_request_error","param":"model",)"
      R"("code":"unknown_model"}})";
  const std::string plain = std::string("{").append(kFields);
  const std::string typed = std::string(R"({"type":"error",)").append(kFields);
  EXPECT_THAT(compose_error(error, {"i", 1, true, {}, ErrorForm::kPlain}), EndsWith("\n" + plain));
  EXPECT_THAT(compose_error(error, {"i", 1, true, {}, ErrorForm::kTyped}), EndsWith("\n" + typed));
  EXPECT_EQ(compose_error_event(error, ErrorForm::kPlain), "data: " + plain + "\n\n");
  EXPECT_EQ(compose_error_event(error, ErrorForm::kTyped), "event: error\ndata: " + typed + "\n\n");
}

TEST(ErrorReply, AsksForABearerWhereAKeyIsMissing) {
  const std::string answer = compose_error({Errc::kInvalidApiKey, "m", ""}, {"i", 1, false});
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 401 Unauthorized\r\n"));
  EXPECT_THAT(answer, HasSubstr("www-authenticate: Bearer\r\n"));
  EXPECT_THAT(answer, HasSubstr("\"type\":\"authentication_error\""));
}

TEST(ErrorReply, NamesTheParameterAndTheAllowedMethod) {
  EXPECT_THAT(compose_error({Errc::kUnknownModel, "m", "model"}, {"i", 1, true}),
              HasSubstr("\"param\":\"model\""));
  EXPECT_THAT(compose_error({Errc::kMethodNotAllowed, "m", "", "POST"}, {"i", 1, true}),
              HasSubstr("allow: POST\r\n"));
}

TEST(ErrorReply, NamesAllMethodsWhereNoneIsKnownToDo) {
  EXPECT_THAT(compose_error(error_of(Errc::kMethodNotAllowed), {"i", 1, true}),
              HasSubstr("allow: GET, HEAD, POST, OPTIONS\r\n"));
  EXPECT_THAT(compose_error(error_of(Errc::kUnknownRoute), {"i", 1, true}),
              Not(HasSubstr("allow:")));
}

}  // namespace
}  // namespace batchproxy
