// tests/proxy/trace/record_test.cc - what is noted of a request becomes a record, JSON and a line.
#include <algorithm>
#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/admin/record_query.h"
#include "proxy/trace/record_ring.h"
#include "proxy/trace/record_search.h"
#include "proxy/trace/record_text.h"
#include "proxy/trace/request_trace.h"

namespace batchproxy {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kPrefix = "bp1-00-";
const std::string kModel = "llama";
const std::string kEngine0 = "engine-0", kEngine1 = "engine-1";

TimePoint at(Duration after) {
  return TimePoint(1h) + after;
}

// 2026-01-02T03:04:05.678Z is at(0).
ClockPair clocks() {
  using std::chrono::year, std::chrono::January;
  const std::chrono::sys_days day(year(2026) / January / 2);
  return {at(0s), day + 3h + 4min + 5s + 678ms};
}

ClientRequest request(std::uint64_t number = 1) {
  ClientRequest request;
  request.id = {kPrefix, number};
  request.route = *find_route("POST", "/v1/completions");
  request.arrival = at(0s);
  request.body = "0123456789";
  return request;
}

AttemptRecord attempt(const std::string& backend, Duration granted, CallFailure failure,
                      std::uint16_t status = 0) {
  AttemptRecord attempt;
  attempt.backend = &backend;
  attempt.granted = at(granted);
  attempt.failure = failure;
  attempt.status = status;
  if (!attempt.is_good()) attempt.ended = at(granted + 5ms);
  return attempt;
}

RequestRecord record_of(const RequestTrace& trace, const ClientRequest& request) {
  RequestRecord record;
  trace.fill(record, request);
  return record;
}

RequestRecord ended(std::uint64_t number, Duration total, Finish how = Finish::kOk) {
  RequestTrace trace;
  trace.end(how, at(total));
  return record_of(trace, request(number));
}

TEST(RequestTrace, TellsOfARetriedRequest) {
  RequestTrace trace;
  trace.model = &kModel;
  trace.prompts = 1;
  trace.status = 200;
  trace.sent = 300;
  trace.add(attempt(kEngine0, 1ms, CallFailure::kNoAnswer));
  trace.add(attempt(kEngine1, 8ms, CallFailure::kNone, 200));
  trace.end(Finish::kOk, at(20ms));
  EXPECT_EQ(to_json(record_of(trace, request()), clocks()),
            R"({"id":"bp1-00-00000001","arrival":"2026-01-02T03:04:05.678Z","method":"POST",)"
            R"("path":"/v1/completions","model":"llama","status":200,"result":"ok","prompts":1,)"
            R"("queue_ms":1.000,"first_byte_ms":20.000,"total_ms":20.000,"bytes_in":10,)"
            R"("bytes_out":300,"attempts_made":2,"attempts":[)"
            R"({"backend":"engine-0","granted_ms":1.000,"ended_ms":6.000,"end":"reset",)"
            R"("batch":0,"batch_prompts":0},)"
            R"({"backend":"engine-1","granted_ms":8.000,"ended_ms":20.000,"end":"200",)"
            R"("batch":0,"batch_prompts":0}]})");
}

TEST(RequestTrace, TellsOfAMemberOfAMergedCall) {
  RequestTrace trace;
  AttemptRecord merged = attempt(kEngine0, 1ms, CallFailure::kNone, 200);
  merged.members = 8;
  merged.leader = {kPrefix, 7};
  trace.add(merged);
  trace.end(Finish::kOk, at(2ms));
  const RequestRecord record = record_of(trace, request());
  EXPECT_THAT(to_json(record, clocks()),
              HasSubstr(R"("merged":{"leader":"bp1-00-00000007","members":8})"));
  EXPECT_THAT(to_line(record, clocks()), HasSubstr("attempts=engine-0:200/bp1-00-00000007of8"));
}

TEST(RequestTrace, KeepsTheFirstFailuresTheLastOneAndTheAnswer) {
  RequestTrace trace;
  for (int i = 0; i < 6; ++i) {
    trace.add(attempt(kEngine0, i * 10ms, CallFailure::kNone, static_cast<std::uint16_t>(500 + i)));
  }
  trace.add(attempt(kEngine1, 60ms, CallFailure::kNone, 200));
  trace.end(Finish::kOk, at(1s));
  const RequestRecord record = record_of(trace, request());
  EXPECT_EQ(record.attempts_made, 7u);
  ASSERT_EQ(record.attempts.size(), 4u);
  EXPECT_EQ(end_of(record.attempts[0]), "500");
  EXPECT_EQ(end_of(record.attempts[1]), "501");
  EXPECT_EQ(end_of(record.attempts[3]), "200");
  EXPECT_EQ(record.queued(), 0ms);
}

TEST(RequestTrace, OfAnErrorOfOursHasItsCodeAndNoBackend) {
  RequestTrace trace;
  trace.refuse(Errc::kQueueFull);
  trace.end(Finish::kShed, at(1ms));
  const std::string json = to_json(record_of(trace, request()), clocks());
  EXPECT_THAT(json, HasSubstr(R"("status":503,"result":"shed","error":"queue_full")"));
  EXPECT_THAT(json, HasSubstr(R"("attempts_made":0,"attempts":[])"));
  EXPECT_THAT(json, Not(HasSubstr("queue_ms")));
}

TEST(RequestTrace, HasTheTraceAndTheNameOfTheKey) {
  ClientRequest asked = request();
  asked.given_id = "mine";
  asked.key = "team-a";
  asked.trace = std::make_shared<const TraceContext>(
      *read_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 0xabc));
  RequestTrace trace;
  trace.end(Finish::kOk, at(1ms));
  const RequestRecord record = record_of(trace, asked);
  EXPECT_THAT(to_json(record, clocks()),
              HasSubstr(R"("trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",)"
                        R"("span_id":"0000000000000abc","parent_span_id":"00f067aa0ba902b7")"));
  EXPECT_THAT(to_line(record, clocks()), HasSubstr(" client_id=mine key=team-a "));
}

TEST(RecordLine, IsOneWhateverAClientCallsItsModel) {
  const std::string name = "a\nb c=d";
  RequestTrace trace;
  trace.model = &name;
  trace.end(Finish::kOk, at(1ms));
  EXPECT_THAT(to_line(record_of(trace, request()), clocks()), HasSubstr(R"(model=a\nb_c=d )"));
}

TEST(RecordRing, KeepsTheLastOnes) {
  RecordRing ring(3);
  for (std::uint64_t i = 0; i < 5; ++i) ring.next() = ended(i, 1ms);
  EXPECT_EQ(ring.written(), 5u);
  EXPECT_EQ(ring.oldest(), 2u);
  EXPECT_EQ(ring[2].id, RequestId(kPrefix, 2));
  EXPECT_EQ(ring[4].id, RequestId(kPrefix, 4));
}

TEST(RecordRing, KeepsThoseThatFailedForLonger) {
  RecordRing ring(3);
  const std::uint64_t count = RecordRing::kFailures + 10;
  for (std::uint64_t i = 0; i < count; ++i) ring.next() = ended(i, 1ms, Finish::kTimeout);
  for (std::uint64_t i = 0; i < 5; ++i) ring.next() = ended(count + i, 1ms);
  ASSERT_EQ(ring.failures().size(), RecordRing::kFailures) << "and no more";
  const auto has = [&ring](std::uint64_t number) {
    return std::ranges::find(ring.failures(), RequestId(kPrefix, number), &RequestRecord::id) !=
           ring.failures().end();
  };
  EXPECT_FALSE(has(9)) << "the oldest go first";
  EXPECT_TRUE(has(10));
  EXPECT_TRUE(has(count - 1));
  EXPECT_FALSE(has(count)) << "it has not failed";
}

struct Found : ::testing::Test {
  Found() {
    ring.next() = ended(1, 30ms);
    ring.next() = ended(2, 10ms, Finish::kTimeout);
    ring.next() = ended(3, 50ms);
    ring.next() = ended(4, 20ms);
  }
  std::vector<std::string> ids(std::string_view target) {
    const Result<RecordSearch> search = read_record_search(target);
    std::vector<RequestRecord> found;
    search_in(ring, *search, found);
    put_in_order(*search, found);
    std::vector<std::string> ids;
    for (const RequestRecord& record : found) ids.push_back(record.id.text().substr(14));
    return ids;
  }
  RecordRing ring{8};
};
using Ids = std::vector<std::string>;

TEST_F(Found, ByIdFailureAndTime) {
  EXPECT_EQ(ids("/admin/requests/bp1-00-00000003"), Ids({"3"}));
  EXPECT_EQ(ids("/admin/requests?id=bp1-00-00000003"), Ids({"3"}));
  EXPECT_EQ(ids("/admin/requests/bp1-00-00000009"), Ids());
  EXPECT_EQ(ids("/admin/requests?failed"), Ids({"2"}));
  EXPECT_EQ(ids("/admin/requests?slow"), Ids({"3", "1", "4", "2"}));
  EXPECT_EQ(ids("/admin/requests?slow&limit=1"), Ids({"3"}));
  EXPECT_EQ(ids("/admin/requests?slow=0.025"), Ids({"3", "1"}));
}

TEST_F(Found, FailuresAfterTheirTimeInTheRing) {
  for (std::uint64_t i = 0; i < 100; ++i) ring.next() = ended(10 + i, 1ms);
  EXPECT_EQ(ids("/admin/requests?failed"), Ids({"2"}));
  EXPECT_EQ(ids("/admin/requests/bp1-00-00000002"), Ids({"2"}));
  EXPECT_EQ(ids("/admin/requests?slow=0.005"), Ids({"2"}));
  EXPECT_EQ(ids("/admin/requests/bp1-00-00000001"), Ids());
}

TEST(RecordSearch, RefusesWhatItCannotRead) {
  EXPECT_FALSE(read_record_search("/admin/requests?limit=0"));
  EXPECT_FALSE(read_record_search("/admin/requests?limit=1001"));
  EXPECT_FALSE(read_record_search("/admin/requests?slow=soon"));
  EXPECT_FALSE(asks_for_requests("/admin/requestsx"));
  EXPECT_TRUE(asks_for_requests("/admin/requests/a"));
}

}  // namespace
}  // namespace batchproxy
