// tests/proxy/cors_test.cc - what the browsers of web pages are told.
#include "proxy/wire/cors.h"

#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kPage = "http://localhost:3000";

// The fields of the answer to a request with these lines in its head; empty: none.
std::string answered(const Cors& cors, const std::string& start, const std::string& lines) {
  const std::string bytes = start + " HTTP/1.1\r\nhost: here\r\n" + lines + "\r\n";
  const auto head = std::make_unique<http::RequestHead>();
  EXPECT_FALSE(http::parse_request_head(bytes, http::kRequestLimits, *head));
  const CorsFields fields = cors.fields_for(*head);
  return fields ? *fields : "";
}

std::string preflight(const std::string& path, const std::string& more = "") {
  return answered(Cors({kPage}), "OPTIONS " + path,
                  "Origin: " + kPage + "\r\nAccess-Control-Request-Method: POST\r\n" + more);
}

TEST(Cors, AllowsNobodyByDefault) {
  EXPECT_TRUE(Cors().empty());
  EXPECT_EQ(answered(Cors(), "GET /v1/models", "Origin: " + kPage + "\r\n"), "");
}

TEST(Cors, MarksTheAnswersToAPageThatIsAllowed) {
  EXPECT_EQ(
      answered(Cors({"http://other", kPage}), "POST /v1/completions", "Origin: " + kPage + "\r\n"),
      "access-control-allow-origin: http://localhost:3000\r\n"
      "access-control-expose-headers: *\r\n"
      "vary: Origin\r\n");
}

TEST(Cors, MarksNoOtherAnswer) {
  const Cors cors({kPage});
  EXPECT_EQ(answered(cors, "GET /v1/models", ""), "");
  for (const char* other : {"http://localhost", "http://localhost:30000", "https://localhost:3000",
                            "http://evil.localhost:3000", "null", "*"}) {
    EXPECT_EQ(answered(cors, "GET /v1/models", "Origin: " + std::string(other) + "\r\n"), "");
  }
}

TEST(Cors, ReadsOriginsInEitherCaseAndSaysThemAsBrowsersDo) {
  EXPECT_THAT(answered(Cors({"HTTP://LocalHost:3000"}), "GET /", "origin: " + kPage + "\r\n"),
              HasSubstr("allow-origin: http://localhost:3000\r\n"));
}

TEST(Cors, AStarIsEveryPage) {
  EXPECT_THAT(answered(Cors({"*"}), "GET /", "Origin: https://example.org\r\n"),
              HasSubstr("access-control-allow-origin: *\r\n"));
  EXPECT_EQ(answered(Cors({"*"}), "GET /", ""), "");
}

TEST(Cors, APreflightIsToldWhatItMaySend) {
  EXPECT_EQ(preflight("/v1/completions",
                      "Access-Control-Request-Headers: authorization,content-type\r\n"),
            "access-control-allow-origin: http://localhost:3000\r\n"
            "access-control-expose-headers: *\r\n"
            "vary: Origin\r\n"
            "access-control-allow-methods: POST, OPTIONS\r\n"
            "access-control-allow-headers: authorization,content-type\r\n"
            "access-control-max-age: 600\r\n");
  EXPECT_THAT(preflight("/v1/models?x=1"), HasSubstr("allow-methods: GET, HEAD, OPTIONS\r\n"));
}

TEST(Cors, OnlyNamesOfFieldsAreEchoed) {
  const auto echo = [](const std::string& list) {
    return preflight("/v1/completions", "Access-Control-Request-Headers: " + list + "\r\n");
  };
  EXPECT_THAT(echo("a , b"), HasSubstr("allow-headers: a , b\r\n"));
  for (const char* list : {"", ",", "a,", "a,,b", "a b", "a: b", "<script>", "a;b", "\xc3\xa9"}) {
    EXPECT_THAT(echo(list), Not(HasSubstr("allow-headers"))) << list;
  }
}

TEST(Cors, OptionsWithoutAQuestionIsNoPreflight) {
  EXPECT_THAT(answered(Cors({kPage}), "OPTIONS /v1/models", "Origin: " + kPage + "\r\n"),
              Not(HasSubstr("allow-methods")));
}

TEST(Cors, NothingIsAllowedWhereNothingIsServed) {
  EXPECT_THAT(preflight("/elsewhere"), Not(HasSubstr("allow-methods")));
}

}  // namespace
}  // namespace batchproxy
