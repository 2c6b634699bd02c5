// tests/batches/batch_request_test.cc - what POST /v1/batches takes.
#include "proxy/batches/batch_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using std::chrono::hours;

constexpr const char* kGood =
    R"({"input_file_id":"file-1","endpoint":"/v1/completions","completion_window":"24h",)"
    R"("metadata":{"name":"night"}})";

TEST(BatchRequest, IsReadWhole) {
  const auto batch = read_batch_request(kGood, 1000);
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->input_file, "file-1");
  EXPECT_EQ(batch->endpoint, "/v1/completions");
  EXPECT_EQ(batch->window, "24h");
  EXPECT_EQ(batch->metadata, R"({"name":"night"})");
  EXPECT_EQ(batch->created_at, 1000);
  EXPECT_EQ(batch->expires_at, 1000 + 24 * 3600);
  EXPECT_EQ(batch->status, BatchStatus::kValidating);
}

TEST(BatchRequest, SaysWhichFieldIsWrong) {
  const auto param = [](const char* body) { return read_batch_request(body, 0).error().param; };
  EXPECT_EQ(param("{}"), "input_file_id");
  EXPECT_EQ(param(R"({"input_file_id":7})"), "input_file_id");
  EXPECT_EQ(param(R"({"input_file_id":"f","endpoint":"/v1/models"})"), "endpoint");
  EXPECT_EQ(param(R"({"input_file_id":"f","endpoint":"/v1/embeddings"})"), "completion_window");
  EXPECT_EQ(param(R"({"input_file_id":"f","endpoint":"/v1/embeddings","completion_window":"1h",)"
                  R"("metadata":{"a":1}})"),
            "metadata");
  EXPECT_EQ(read_batch_request("[]", 0).error().code, Errc::kInvalidJson);
  EXPECT_EQ(read_batch_request("{", 0).error().code, Errc::kInvalidJson);
}

TEST(BatchWindow, IsATimeOfUpToAMonth) {
  EXPECT_EQ(window_of("24h"), hours(24));
  EXPECT_EQ(window_of("30m"), std::chrono::minutes(30));
  EXPECT_EQ(window_of("90s"), std::chrono::seconds(90));
  EXPECT_EQ(window_of("30d"), hours(720));
  for (const char* text : {"", "h", "0h", "-1h", "24", "24x", "31d", "1.5h", "h24"}) {
    EXPECT_EQ(window_of(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace batchproxy
