// tests/proxy/adapter_report_test.cc - orders about adapters, and what engines make of them.
#include "proxy/admin/adapter_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::HasSubstr;
using Kind = AdapterOutcome::Kind;

const AdapterOrder kLoad{true, "sql", "{}"};
const AdapterOrder kUnload{false, "sql", "{}"};

AdapterOutcome told(const AdapterOrder& order, unsigned status, const std::string& body) {
  return outcome_of(order, "engine-0", {status, body, {}});
}

AdapterReport report(std::vector<Kind> kinds, const AdapterOrder& order = kLoad) {
  AdapterReport report{order, {}};
  for (const Kind kind : kinds) {
    report.outcomes.push_back({"engine-" + std::to_string(report.outcomes.size()), kind, 0, ""});
  }
  return report;
}

TEST(ReadAdapterOrder, TakesTheNameAndLeavesTheBodyAsItIs) {
  const std::string body = R"( {"lora_name": "sql", "lora_path": "/a", "load_inplace": true})";
  const auto order = read_adapter_order("/v1/load_lora_adapter", body);
  ASSERT_TRUE(order);
  EXPECT_TRUE(order->load);
  EXPECT_EQ(order->name, "sql");
  EXPECT_EQ(order->json, body);
  EXPECT_EQ(order->path(), "/v1/load_lora_adapter");
  EXPECT_FALSE(read_adapter_order("/v1/unload_lora_adapter", body)->load);
}

TEST(ReadAdapterOrder, RefusesABodyThatNamesNoAdapter) {
  for (const char* body : {"", "{", "[]", "\"sql\""}) {
    EXPECT_EQ(read_adapter_order(kLoadAdapter, body).error().code, Errc::kInvalidJson) << body;
  }
  for (const char* body : {"{}", R"({"lora_name":""})", R"({"lora_name":7})"}) {
    const auto order = read_adapter_order(kLoadAdapter, body);
    EXPECT_EQ(order.error().code, Errc::kInvalidRequest) << body;
    EXPECT_EQ(order.error().param, "lora_name");
  }
}

TEST(OutcomeOf, ASuccessIsDone) {
  const AdapterOutcome outcome = told(kLoad, 200, "Success: LoRA adapter 'sql' added.");
  EXPECT_EQ(outcome.kind, Kind::kDone);
  EXPECT_EQ(outcome.message, "Success: LoRA adapter 'sql' added.");
}

TEST(OutcomeOf, WhatIsSoAlreadyIsDone) {
  const char* loaded = R"({"error":{"message":"The lora adapter 'sql' has already been loaded."}})";
  EXPECT_EQ(told(kLoad, 400, loaded).kind, Kind::kDone);
  EXPECT_EQ(told(kUnload, 400, loaded).kind, Kind::kFailed);
  EXPECT_EQ(told(kLoad, 500, loaded).kind, Kind::kFailed);
  const char* unknown = R"({"error":{"message":"The lora adapter 'sql' cannot be found."}})";
  EXPECT_EQ(told(kUnload, 404, unknown).kind, Kind::kDone);
  EXPECT_EQ(told(kLoad, 404, unknown).kind, Kind::kFailed);
}

TEST(OutcomeOf, AnEngineThatTakesNoAdaptersIsToldHow) {
  for (const AdapterOrder& order : {kLoad, kUnload}) {
    const AdapterOutcome outcome = told(order, 404, R"({"detail":"Not Found"})");
    EXPECT_EQ(outcome.kind, Kind::kFailed);
    EXPECT_THAT(outcome.message, HasSubstr("VLLM_ALLOW_RUNTIME_LORA_UPDATING"));
  }
}

TEST(OutcomeOf, FindsTheSentence) {
  EXPECT_EQ(told(kLoad, 500, R"({"error":{"message":"no rank 64"}})").message, "no rank 64");
  EXPECT_EQ(told(kLoad, 500, R"({"object":"error","message":"older"})").message, "older");
  EXPECT_EQ(told(kLoad, 422, R"({"detail":[{"msg":"x"}]})").message, R"({"detail":[{"msg":"x"}]})");
  EXPECT_EQ(told(kLoad, 500, "Internal Server Error").message, "Internal Server Error");
  EXPECT_EQ(told(kLoad, 500, "\xff").message, "its answer is no text");
  EXPECT_THAT(told(kLoad, 500, std::string(3000, 'x')).message, HasSubstr("longer than"));
}

TEST(OutcomeOf, WithoutAnAnswerSaysWhy) {
  const AdapterOutcome outcome = outcome_of(kLoad, "engine-0", {0, "", "no answer in time"});
  EXPECT_EQ(outcome.kind, Kind::kFailed);
  EXPECT_EQ(outcome.message, "no answer in time");
}

TEST(AdapterReport, IsAsGoodAsItsWorstAnswer) {
  EXPECT_EQ(report({Kind::kDone, Kind::kDone}).status(), 200u);
  EXPECT_EQ(report({Kind::kDone, Kind::kNotUp}).status(), 200u);
  EXPECT_EQ(report({Kind::kDone, Kind::kFailed}).status(), 502u);
  EXPECT_EQ(report({Kind::kNotUp, Kind::kFailed}).status(), 502u);
  EXPECT_EQ(report({Kind::kNotUp}).status(), 503u);
  EXPECT_EQ(report({}).status(), 503u);
}

TEST(AdapterReport, SaysWhatToDo) {
  EXPECT_EQ(report({Kind::kDone, Kind::kDone}).summary(), "Loaded on 2 of 2 engines.");
  EXPECT_EQ(report({Kind::kDone, Kind::kNotUp}, kUnload).summary(), "Unloaded on 1 of 2 engines.");
  EXPECT_THAT(report({Kind::kDone, Kind::kNotUp}).summary(), HasSubstr("need the order again"));
  EXPECT_THAT(report({Kind::kDone, Kind::kFailed}).summary(), HasSubstr("give the order again"));
  EXPECT_THAT(report({Kind::kNotUp}).summary(), HasSubstr("No engine is up"));
}

TEST(AdapterReport, ListsEveryEngine) {
  AdapterReport both{kLoad, {told(kLoad, 200, "Success"), not_up("engine-1", "it has ended")}};
  EXPECT_EQ(
      both.to_json(),
      R"({"lora_name":"sql","message":"Loaded on 1 of 2 engines. Engines that are not up need )"
      R"(the order again when they are.","backends":[)"
      R"({"backend":"engine-0","result":"done","status":200,"message":"Success"},)"
      R"({"backend":"engine-1","result":"not up","status":null,"message":"it has ended"}]})");
}

}  // namespace
}  // namespace batchproxy
