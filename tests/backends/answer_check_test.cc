// tests/backends/answer_check_test.cc - what counts as an answer in JSON.
#include "backends/call/answer_check.h"

#include <string>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

bool is_whole(const std::string& body) {
  static AnswerChecker checker;
  std::string padded = body;
  // What stands behind an answer must not count: here it would complete one.
  padded.append(simdjson::SIMDJSON_PADDING, '}');
  return checker.is_whole_object(std::string_view(padded).substr(0, body.size()));
}

const std::string kAnswer =
    R"({"id":"cmpl-1","choices":[{"index":0,"text":"caf\u00e9 \ud83d } ]","logprobs":null}],)"
    R"("usage":{"prompt_tokens":1,"x":[-0.5e-7,1E+2,0,true,false,[],{}]}})";

TEST(AnswerCheck, TakesWholeObjects) {
  for (const std::string& body :
       {kAnswer, std::string("{}"), " \r\n\t" + kAnswer + "\n", std::string(R"({"a":"\\"})"),
        std::string(R"({"a":123456789012345678901234567890,"b":1e999})"),
        std::string("{\"a\" : \"\xc3\xa9\" , \"b\" : [ 1 , 2 ] }")}) {
    EXPECT_TRUE(is_whole(body)) << body;
  }
}

TEST(AnswerCheck, RefusesWhatIsCutOffAnywhere) {
  for (std::size_t size = 0; size < kAnswer.size(); ++size) {
    EXPECT_FALSE(is_whole(kAnswer.substr(0, size))) << "cut at " << size;
  }
}

TEST(AnswerCheck, RefusesWhatGoesOn) {
  for (const char* more : {"x", "}", "{}", ",", "0", "\"", "]", "{\"b\":1}"}) {
    EXPECT_FALSE(is_whole(kAnswer + more)) << more;
  }
}

TEST(AnswerCheck, RefusesWhatIsNoObject) {
  for (const char* body : {"", " ", "[]", "null", "1", "\"text\"", "<html></html>", "data: {}\n\n",
                           "upstream error", "\x1f\x8b\x08"}) {
    EXPECT_FALSE(is_whole(body)) << body;
  }
}

TEST(AnswerCheck, RefusesWhatOnlyLooksLikeOne) {
  for (const char* body : {"{garbage}",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{\"a\":1 2}",
                           "{\"a\":[1}",
                           "{\"a\":{]}",
                           "{\"a\":(1)}",
                           "{\"a\":nul}",
                           "{\"a\":nullx}",
                           "{\"a\":truefalse}",
                           "{\"a\":NaN}",
                           "{\"a\":-Infinity}",
                           "{\"a\":01}",
                           "{\"a\":1.}",
                           "{\"a\":.5}",
                           "{\"a\":-}",
                           "{\"a\":1e}",
                           "{\"a\":+1}",
                           "{\"a\":0x1}",
                           "{'a':1}",
                           "{\"a\"x:1}",
                           "{\"a\":\"b\"x}",
                           "{\"a\":[1,]}",
                           "{\"a\":[,1]}",
                           "{\"a\":[1 \"b\"]}",
                           "{\"a\":\"\xff\"}",
                           "{\"a\":\"line\nbreak\"}",
                           "{1:2}",
                           "{\"a\":1 \"b\":2}",
                           "{,}",
                           "{\"a\":\"open}"}) {
    EXPECT_FALSE(is_whole(body)) << body;
  }
}

TEST(AnswerCheck, RefusesWhatIsDeepInsteadOfOverflowingTheStack) {
  const std::string open(100000, '['), close(100000, ']');
  EXPECT_FALSE(is_whole("{\"a\":" + open + close + "}"));
  EXPECT_TRUE(is_whole("{\"a\":" + open.substr(0, 200) + close.substr(0, 200) + "}"));
}

TEST(IsJsonType, GoesByTheTypeAlone) {
  for (const char* type : {"application/json", "Application/JSON", "application/json;charset=utf-8",
                           "application/json ; charset=utf-8", "application/problem+json",
                           "application/vnd.api+JSON; x=y"}) {
    EXPECT_TRUE(is_json_type(type)) << type;
  }
  for (const char* type : {"", "text/html", "text/event-stream", "application/jsonl", "+json",
                           "text/plain; application/json"}) {
    EXPECT_FALSE(is_json_type(type)) << type;
  }
}

TEST(IsEventStream, GoesByTheTypeAlone) {
  for (const char* type : {"text/event-stream", "Text/Event-Stream; charset=utf-8"}) {
    EXPECT_TRUE(is_event_stream(type)) << type;
  }
  for (const char* type : {"", "text/event-streams", "application/json", "text/plain"}) {
    EXPECT_FALSE(is_event_stream(type)) << type;
  }
}

TEST(BeginsLikeEvents, KnowsThemByTheirFirstField) {
  for (const char* bytes :
       {"data: {}\n\n", "data:x", "event: message", "id: 1", "retry: 9", ": hi"}) {
    EXPECT_EQ(begins_like_events(bytes), true) << bytes;
  }
  for (const char* bytes : {"{\"a\":1}\n", "<html>", "\n", "datum", "events"}) {
    EXPECT_EQ(begins_like_events(bytes), false) << bytes;
  }
  for (const char* bytes : {"", "d", "data", "i", "event"}) {
    EXPECT_EQ(begins_like_events(bytes), std::nullopt) << bytes;
  }
}

TEST(FaultOf, NamesTheTypeThatIsNotJsons) {
  const AnswerFault fault = fault_of({.status = 200, .content_type = "Text/HTML; x=y"}, "<html>");
  EXPECT_EQ(fault.kind, AnswerFault::Kind::kType);
  EXPECT_EQ(fault.seen, "Text/HTML");
}

TEST(FaultOf, TellsFromWhichByteOnItIsNoObject) {
  const auto expect = [](const std::string& body, std::size_t at, const std::string& seen) {
    for (const char* type : {"", "application/json"}) {
      const AnswerFault fault = fault_of({.status = 200, .content_type = type}, body);
      EXPECT_EQ(fault.kind, AnswerFault::Kind::kJson) << body;
      EXPECT_EQ(fault.number, at) << body;
      EXPECT_EQ(fault.seen, seen) << body;
    }
  };
  expect(R"({"logprobs":[NaN]})", 13, "`NaN`");
  expect(R"({"choices":[)", 12, "the end");
  expect(" []", 1, "`[`");
  expect("", 0, "the end");
}

CallFailure judged(const AnswerHead& head, const std::string& body, bool expects_object = true) {
  static AnswerChecker checker;
  std::string padded = body;
  padded.append(simdjson::SIMDJSON_PADDING, ' ');
  return checker.judge(head, std::string_view(padded).substr(0, body.size()), expects_object);
}

TEST(Judge, FindsNothingWrongWithAnObjectOfJson) {
  EXPECT_EQ(judged({.status = 200, .content_type = "application/json"}, kAnswer),
            CallFailure::kNone);
}

TEST(Judge, GoesByTheBodyWhateverItsType) {
  for (const char* type : {"", "text/plain", "application/vnd.api+json", "application/x-ndjson"}) {
    EXPECT_EQ(judged({.status = 200, .content_type = type}, kAnswer), CallFailure::kNone) << type;
    EXPECT_EQ(judged({.status = 200, .content_type = type}, kAnswer + kAnswer),
              CallFailure::kBadAnswer)
        << type;
  }
}

TEST(Judge, RefusesASuccessThatIsNoObjectOfJson) {
  for (const char* body : {"", "[]", "{\"choices\":[", "<html>"}) {
    EXPECT_EQ(judged({.status = 299, .content_type = "application/json"}, body),
              CallFailure::kBadAnswer)
        << body;
  }
}

TEST(Judge, LooksIntoNothingElse) {
  EXPECT_EQ(judged({.status = 200, .content_type = "text/html"}, "<html>", false),
            CallFailure::kNone);
  EXPECT_EQ(judged({.status = 200, .content_type = "application/json", .content_encoding = "gzip"},
                   "\x1f\x8b"),
            CallFailure::kNone);
  for (const unsigned status : {302u, 400u, 404u, 429u, 500u, 503u}) {
    EXPECT_EQ(judged({.status = status, .content_type = "text/plain"}, "no"), CallFailure::kNone)
        << status;
  }
}

TEST(Judge, TakesAServerErrorWithoutAWordForADyingEngine) {
  for (const bool expects_object : {false, true}) {
    EXPECT_EQ(judged({.status = 500}, "", expects_object), CallFailure::kBareError);
    EXPECT_EQ(judged({.status = 502, .content_type = "application/json"}, "", expects_object),
              CallFailure::kBareError);
    EXPECT_EQ(judged({.status = 503}, "", expects_object), CallFailure::kNone) << "it is full";
    EXPECT_EQ(judged({.status = 499}, "", expects_object), CallFailure::kNone);
  }
}

TEST(Judge, TakesNo404WithoutAWordForAnAnswerToAGeneration) {
  EXPECT_EQ(judged({.status = 404}, "", true), CallFailure::kBareError);
  EXPECT_EQ(judged({.status = 404}, "{}", true), CallFailure::kNone);
  EXPECT_EQ(judged({.status = 404}, "", false), CallFailure::kNone);
  EXPECT_EQ(judged({.status = 400}, "", true), CallFailure::kNone);
}

}  // namespace
}  // namespace batchproxy
