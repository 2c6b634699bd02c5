// tests/backends/head_test.cc - the strict head reader: what it accepts, and what it refuses.
#include "backends/http/head.h"

#include <memory>

#include <gtest/gtest.h>

namespace batchproxy::http {
namespace {

struct Parsed {
  std::unique_ptr<RequestHead> head = std::make_unique<RequestHead>();
  std::optional<Error> error;
};

Parsed parse(std::string_view text) {
  Parsed parsed;
  parsed.error = parse_request_head(text, kRequestLimits, *parsed.head);
  return parsed;
}

Parsed with_fields(std::string_view fields) {
  return parse("POST /v1/completions HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n");
}

TEST(RequestHead, ReadsAnOrdinaryRequest) {
  const Parsed parsed = parse(
      "POST /v1/completions?x=1 HTTP/1.1\r\nHost: localhost:8000\r\nContent-Length: 12\r\n"
      "content-type:application/json\r\nEmpty:\r\n\r\n");
  ASSERT_FALSE(parsed.error);
  EXPECT_EQ(parsed.head->method, "POST");
  EXPECT_EQ(parsed.head->target, "/v1/completions?x=1");
  EXPECT_EQ(parsed.head->path(), "/v1/completions");
  EXPECT_EQ(parsed.head->fields.framing.content_length, 12u);
  EXPECT_EQ(parsed.head->fields.get("Content-Type"), "application/json");
  EXPECT_TRUE(parsed.head->keep_alive());
  EXPECT_TRUE(parsed.head->has_body());
}

TEST(RequestHead, SkipsOneEmptyLineBeforeTheRequestLine) {
  EXPECT_FALSE(parse("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").error);
  EXPECT_TRUE(parse("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").error);
}

TEST(RequestHead, KnowsWhenTheConnectionStaysOpen) {
  EXPECT_TRUE(with_fields("").head->keep_alive());
  EXPECT_FALSE(with_fields("Connection: close\r\n").head->keep_alive());
  EXPECT_FALSE(with_fields("Connection: x, Close\r\n").head->keep_alive());
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n").head->keep_alive());
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").head->keep_alive());
}

TEST(RequestHead, NoticesExpect100Continue) {
  EXPECT_TRUE(with_fields("Expect: 100-Continue\r\n").head->expects_continue);
  EXPECT_EQ(with_fields("Expect: the-unexpected\r\n").error->code, Errc::kExpectationFailed);
}

TEST(RequestHead, AcceptsAHigherMinorVersionAndNoOtherMajorOne) {
  EXPECT_FALSE(parse("GET / HTTP/1.2\r\nHost: a\r\n\r\n").error);
  EXPECT_EQ(parse("GET / HTTP/2.0\r\nHost: a\r\n\r\n").error->code, Errc::kUnsupportedVersion);
}

class Refused : public testing::TestWithParam<const char*> {};

TEST_P(Refused, IsBadHttp) {
  const Parsed parsed = parse(GetParam());
  ASSERT_TRUE(parsed.error) << GetParam();
  EXPECT_EQ(parsed.error->code, Errc::kBadHttp) << parsed.error->message;
}

INSTANTIATE_TEST_SUITE_P(
    Requests, Refused,
    testing::Values(
        // Lines.
        "GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n", "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        // Host.
        "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n",
        // Field syntax.
        "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n",
        // Two readings of where the body ends.
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        "Transfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"));

TEST(RequestHead, LimitsLineHeadAndFields) {
  const std::string long_line = "GET /" + std::string(8200, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(parse(long_line).error->code, Errc::kUriTooLong);
  EXPECT_EQ(with_fields("X: " + std::string(17000, 'a') + "\r\n").error->code, Errc::kHeadTooLarge);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "X: y\r\n";
  EXPECT_EQ(with_fields(many).error->code, Errc::kHeadTooLarge);
  many.erase(0, 6);
  EXPECT_FALSE(with_fields(many).error);
}

TEST(PartialHead, IsRefusedOnceItCannotBecomeAnAcceptableOne) {
  EXPECT_FALSE(check_partial_head("GET / HT", kRequestLimits));
  EXPECT_EQ(check_partial_head("GET /" + std::string(8190, 'a'), kRequestLimits)->code,
            Errc::kUriTooLong);
  EXPECT_EQ(
      check_partial_head("GET / HTTP/1.1\r\n" + std::string(16384, 'a'), kRequestLimits)->code,
      Errc::kHeadTooLarge);
}

// What is wrong first is what is answered, whether the head came at once or byte by byte.
TEST(RequestHead, HasOneVerdictHoweverItIsCut) {
  const std::string exactly =
      "GET /" + std::string(8192 - 14, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const std::string& text :
       {exactly, "\r\n" + exactly, std::string("GET / HTTP/2.0\r\nHost: a\nb\r\n\r\n"),
        std::string("CONNECT a:1 HTTP/1.1\r\nHost: a\rb\r\n\r\n"),
        "G@T /" + std::string(9000, 'a') + "\n\r\n\r\n",
        "G /" + std::string(9000, 'a') + "\n\r\n\r\n"}) {
    const Parsed whole = parse(text);
    std::optional<Error> early;
    for (std::size_t size = 0; size < text.size() && !early; ++size) {
      early = check_partial_head(std::string_view(text).substr(0, size), kRequestLimits);
    }
    if (!early) continue;
    ASSERT_TRUE(whole.error) << text;
    EXPECT_EQ(whole.error->code, early->code) << text;
  }
  EXPECT_FALSE(parse(exactly).error);
}

TEST(FindHeadEnd, FindsItWhereverTheBytesWereCut) {
  const std::string text = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    const auto early = find_head_end(std::string_view(text).substr(0, cut), 0);
    const auto end = early ? early : find_head_end(text, cut);
    EXPECT_EQ(end, text.size() - 4) << "cut at " << cut;
  }
}

TEST(ResponseHead, ReadsStatusAndFraming) {
  auto head = std::make_unique<ResponseHead>();
  ASSERT_FALSE(
      parse_response_head("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", kResponseLimits, *head));
  EXPECT_EQ(head->status, 200u);
  EXPECT_EQ(head->fields.framing.content_length, 3u);
  EXPECT_TRUE(head->keep_alive());
  EXPECT_FALSE(parse_response_head("HTTP/1.1 404\r\n\r\n", kResponseLimits, *head));
}

TEST(ResponseHead, RefusesWhatIsNoStatusLine) {
  auto head = std::make_unique<ResponseHead>();
  for (const char* text :
       {"HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1 999 x\r\n\r\n", "HTTP/1.1 2x0 x\r\n\r\n",
        "HTTP/2.0 200 x\r\n\r\n", "garbage\r\n\r\n", "HTTP/1.1  200 x\r\n\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: gzip\r\n\r\n"}) {
    EXPECT_TRUE(parse_response_head(text, kResponseLimits, *head)) << text;
  }
}

TEST(PartialHead, IsRefusedAtOnceWhenNothingCanMendIt) {
  for (const std::string_view bytes :
       {std::string_view("\x16\x03\x01"), std::string_view("GET / HTTP/1.1\n"),
        std::string_view("GET / HTTP/1.1\rH"), std::string_view("GET / HTTP/1.1\r\nHost: a\nb"),
        std::string_view("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")}) {
    const auto error = check_partial_head(bytes, kRequestLimits);
    ASSERT_TRUE(error) << bytes;
    EXPECT_EQ(error->code, Errc::kBadHttp);
  }
  for (const std::string_view bytes :
       {std::string_view("G"), std::string_view("\r\nGET"), std::string_view("GET / HTTP/1.1\r"),
        std::string_view("\r"), std::string_view("")}) {
    EXPECT_FALSE(check_partial_head(bytes, kRequestLimits)) << bytes;
  }
}

TEST(RequestHead, UnderstandsTheAbsoluteForm) {
  RequestHead head;
  EXPECT_FALSE(parse_request_head("GET http://a:1/health?x HTTP/1.1\r\nHost: b\r\n\r\n",
                                  kRequestLimits, head));
  EXPECT_EQ(head.target, "/health?x");
  EXPECT_FALSE(
      parse_request_head("GET HTTP://a HTTP/1.1\r\nHost: b\r\n\r\n", kRequestLimits, head));
  EXPECT_EQ(head.target, "/");
  EXPECT_TRUE(
      parse_request_head("GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n", kRequestLimits, head));
  EXPECT_TRUE(parse_request_head("GET ftp://a/ HTTP/1.1\r\nHost: b\r\n\r\n", kRequestLimits, head));
}

TEST(RequestHead, RefusesTunnelsAndDoubledSingletons) {
  RequestHead head;
  EXPECT_EQ(
      parse_request_head("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", kRequestLimits, head)
          ->code,
      Errc::kMethodNotAllowed);
  EXPECT_EQ(parse_request_head("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n"
                               "authorization: Bearer y\r\n\r\n",
                               kRequestLimits, head)
                ->code,
            Errc::kBadHttp);
}

}  // namespace
}  // namespace batchproxy::http
