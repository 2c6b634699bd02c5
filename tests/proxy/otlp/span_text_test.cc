// tests/proxy/otlp/span_text_test.cc - records of requests as OTLP has spans.
#include "proxy/otlp/span_text.h"

#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

const std::string kPrefix = "bp1-00-";
const std::string kModel = "llama", kFirst = "engine-0", kSecond = "10.0.0.2:8000";
const TimePoint kArrival{1h};
const ClockPair kClocks{TimePoint(1h), std::chrono::system_clock::time_point(1'000'000s)};
constexpr const char* kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

RequestRecord retried() {
  RequestRecord record;
  record.id = RequestId(kPrefix, 42);
  record.route = *find_route("POST", "/v1/chat/completions");
  record.model = &kModel;
  record.arrival = kArrival;
  record.granted = kArrival + 2ms;
  record.first_byte = kArrival + 20ms;
  record.ended = kArrival + 50ms;
  record.bytes_in = 100;
  record.bytes_out = 300;
  record.prompts = 1;
  record.attempts_made = 2;
  record.status = 200;
  record.finish = Finish::kOk;
  record.streaming = true;
  record.traced = true;
  record.span = 0xabc;
  record.traceparent.set(kParent);
  record.key.set("team-a");
  AttemptRecord lost;
  lost.backend = &kFirst;
  lost.granted = kArrival + 2ms;
  lost.ended = kArrival + 5ms;
  lost.failure = CallFailure::kNoAnswer;
  lost.went_down = true;
  AttemptRecord good;
  good.backend = &kSecond;
  good.granted = kArrival + 6ms;
  good.batch = 9;
  good.status = 200;
  good.members = 8;
  good.leader = RequestId(kPrefix, 41);
  record.attempts.push_back(lost);
  record.attempts.push_back(good);
  return record;
}

json::array spans_of(const std::vector<RequestRecord>& records) {
  const json::value body = json::parse(to_otlp(records, {"front", "node7", 77}, kClocks));
  return body.at_pointer("/resourceSpans/0/scopeSpans/0/spans").as_array();
}

// The value of an attribute as text; "" if there is none.
std::string attribute(const json::value& of, std::string_view name) {
  for (const json::value& one : of.at("attributes").as_array()) {
    if (one.at("key").as_string() != name) continue;
    const json::object& value = one.at("value").as_object();
    EXPECT_EQ(value.size(), 1u);
    const json::value& found = value.begin()->value();
    return found.is_string() ? std::string(found.as_string()) : json::serialize(found);
  }
  return "";
}

std::string text(const json::value& span, std::string_view name) {
  const json::value* found = span.as_object().if_contains(name);
  return found == nullptr ? "" : std::string(found->as_string());
}

TEST(SpanText, SaysWhoSendsThem) {
  const json::value body = json::parse(to_otlp({}, {"front", "node7", 77}, kClocks));
  const json::value& resource = body.at_pointer("/resourceSpans/0/resource");
  EXPECT_EQ(attribute(resource, "service.name"), "front");
  EXPECT_EQ(attribute(resource, "service.version"), BATCHPROXY_VERSION);
  EXPECT_EQ(attribute(resource, "host.name"), "node7");
  EXPECT_EQ(attribute(resource, "process.pid"), "77");
}

TEST(SpanText, HasASpanOfTheRequestAndOneOfEachAttempt) {
  const RequestRecord record = retried();
  const json::array spans = spans_of({record});
  ASSERT_EQ(spans.size(), 3u);
  const json::value &request = spans[0], &lost = spans[1], &good = spans[2];
  for (const json::value& span : spans) {
    EXPECT_EQ(text(span, "traceId"), "4bf92f3577b34da6a3ce929d0e0e4736");
  }
  EXPECT_EQ(text(request, "spanId"), "0000000000000abc");
  EXPECT_EQ(text(request, "parentSpanId"), "00f067aa0ba902b7");
  EXPECT_EQ(request.at("flags").as_int64(), 0x301);
  EXPECT_EQ(request.at("kind").as_int64(), 2);
  EXPECT_EQ(text(request, "name"), "POST /v1/chat/completions");
  EXPECT_EQ(text(request, "startTimeUnixNano"), "1000000000000000");
  EXPECT_EQ(text(request, "endTimeUnixNano"), "1000000050000000");
  EXPECT_FALSE(request.as_object().contains("status"));
  EXPECT_EQ(attribute(request, "gen_ai.operation.name"), "chat");
  EXPECT_EQ(attribute(request, "gen_ai.request.model"), "llama");
  EXPECT_EQ(attribute(request, "gen_ai.request.stream"), "true");
  EXPECT_EQ(attribute(request, "http.response.status_code"), "200");
  EXPECT_EQ(attribute(request, "batchproxy.request.id"), "bp1-00-0000002a");
  EXPECT_EQ(attribute(request, "batchproxy.request.key"), "team-a");
  EXPECT_EQ(json::parse(attribute(request, "gen_ai.response.time_to_first_chunk")).as_double(), 0.02);

  EXPECT_EQ(text(lost, "name"), "chat llama");
  EXPECT_EQ(lost.at("kind").as_int64(), 3);
  EXPECT_EQ(text(lost, "parentSpanId"), "0000000000000abc");
  EXPECT_EQ(attribute(lost, "error.type"), "reset");
  EXPECT_EQ(lost.at_pointer("/status/code").as_int64(), 2);
  EXPECT_EQ(attribute(lost, "batchproxy.backend"), "engine-0");
  EXPECT_EQ(attribute(lost, "server.address"), "");
  EXPECT_EQ(attribute(lost, "batchproxy.engine_died"), "true");
  EXPECT_EQ(text(lost, "endTimeUnixNano"), "1000000005000000");

  EXPECT_EQ(attribute(good, "server.address"), "10.0.0.2");
  EXPECT_EQ(attribute(good, "server.port"), "8000");
  EXPECT_EQ(attribute(good, "batchproxy.merged.members"), "8");
  EXPECT_EQ(attribute(good, "batchproxy.merged.leader"), "bp1-00-00000029");
  EXPECT_EQ(text(good, "endTimeUnixNano"), "1000000050000000");
  EXPECT_FALSE(good.as_object().contains("status"));
  EXPECT_NE(text(good, "spanId"), text(lost, "spanId"));
}

TEST(SpanText, BeginsATraceWithoutAParent) {
  RequestRecord record = retried();
  record.traceparent.set("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01");
  const json::array spans = spans_of({record});
  EXPECT_FALSE(spans[0].as_object().contains("parentSpanId"));
  EXPECT_EQ(spans[0].at("flags").as_int64(), 0x101);
}

TEST(SpanText, CallsOnlyOurFailuresErrors) {
  RequestRecord record = retried();
  record.attempts.clear();
  record.status = 404;
  record.error = Errc::kUnknownModel;
  record.finish = Finish::kClientError;
  json::value span = spans_of({record})[0];
  EXPECT_FALSE(span.as_object().contains("status"));
  EXPECT_EQ(attribute(span, "error.type"), "unknown_model");
  record.status = 503;
  record.error = Errc::kNoBackend;
  record.finish = Finish::kShed;
  span = spans_of({record})[0];
  EXPECT_EQ(span.at_pointer("/status/code").as_int64(), 2);
  EXPECT_EQ(attribute(span, "error.type"), "no_backend");
}

TEST(SpanText, HasNoTwoSpansOfOneId) {
  RequestRecord record = retried();
  record.attempts[1] = record.attempts[0];  // two pieces of a list that were lost together
  EXPECT_EQ(spans_of({record}).size(), 2u);
}

TEST(SpanText, IsJsonWhateverTheModelIsCalled) {
  const std::string odd = "a\"b\\c\n\xff";
  RequestRecord record = retried();
  record.model = &odd;
  EXPECT_EQ(spans_of({record}).size(), 3u);
  record.route = nullptr;
  EXPECT_EQ(text(spans_of({record})[0], "name"), "_OTHER");
}

}  // namespace
}  // namespace batchproxy
