// tests/batches/batch_intake_test.cc - which lines are a batch's requests, and what is said of
// others.
#include "proxy/batches/batch_intake.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::HasSubstr;

std::string line(std::string_view key, std::string_view url = "/v1/completions") {
  return fmt::format(
      R"({{"custom_id":"{}","method":"POST","url":"{}","body":{{"model":"m","prompt":"x"}}}})", key,
      url);
}

BatchIntake intake() {
  return {"in.jsonl", "/v1/completions"};
}

TEST(BatchIntake, TakesBatchLines) {
  BatchIntake lines = intake();
  const auto question = lines.take(line("a"), 1);
  ASSERT_TRUE(question);
  EXPECT_EQ(question->key, "a");
  EXPECT_EQ(question->body, R"({"model":"m","prompt":"x"})");
  EXPECT_FALSE(lines.take("", 2));
  lines.finish();
  EXPECT_TRUE(lines.ok());
  EXPECT_EQ(lines.requests(), 1);
}

TEST(BatchIntake, TellsEachLineThatIsAtFault) {
  BatchIntake lines = intake();
  EXPECT_TRUE(lines.take(line("a"), 1));
  EXPECT_FALSE(lines.take("{", 2));
  EXPECT_FALSE(lines.take(line("b", "/v1/embeddings"), 3));
  EXPECT_TRUE(lines.take(line("a"), 4));
  lines.duplicate(4, "a", 1);
  lines.finish();
  EXPECT_FALSE(lines.ok());
  const std::string errors = lines.errors();
  EXPECT_THAT(errors, HasSubstr(R"({"code":"invalid_json_line","line":2,"message":"in.jsonl:2: )"));
  EXPECT_THAT(errors, HasSubstr(R"({"code":"mismatched_endpoint","line":3,)"
                                R"("message":"The url is /v1/embeddings, and the batch is for )"
                                R"(/v1/completions.","param":"url"})"));
  EXPECT_THAT(errors, HasSubstr(R"("duplicate_custom_id","line":4,"message":"The custom_id 'a' )"
                                R"(stands in line 1 already.")"));
}

TEST(BatchIntake, TakesNoOtherFormat) {
  BatchIntake lines = intake();
  EXPECT_FALSE(lines.take(R"({"prompt":"x"})", 1));
  EXPECT_THAT(lines.errors(), HasSubstr("missing_required_parameter"));
}

TEST(BatchIntake, HasAtLeastOneRequestAndAtMostFiftyThousand) {
  BatchIntake none = intake();
  none.finish();
  EXPECT_THAT(none.errors(), HasSubstr("empty_file"));
  BatchIntake many = intake();
  for (std::int64_t i = 0; i <= kMostBatchRequests; ++i) many.take(line("a"), i + 1);
  many.finish();
  EXPECT_THAT(many.errors(), HasSubstr("too_many_requests"));
}

TEST(BatchIntake, TellsAThousandFaultsAndCountsTheRest) {
  BatchIntake lines = intake();
  for (int i = 1; i <= 1005; ++i) lines.take("{", i);
  EXPECT_THAT(lines.errors(), HasSubstr("5 more lines are at fault."));
}

}  // namespace
}  // namespace batchproxy
