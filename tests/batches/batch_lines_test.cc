// tests/batches/batch_lines_test.cc - the lines of output and error files.
#include "proxy/batches/batch_lines.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

ItemOutcome outcome(unsigned status, std::string answer) {
  ItemOutcome outcome;
  outcome.key = "a \"b\"";
  outcome.status = status;
  outcome.answer = std::move(answer);
  return outcome;
}

TEST(BatchLine, HoldsTheAnswerOnOneLine) {
  EXPECT_EQ(
      batch_line("batch_req_1", outcome(200, "{\"text\":\n\"A\\n\"}")),
      "{\"id\":\"batch_req_1\",\"custom_id\":\"a \\\"b\\\"\",\"response\":{\"status_code\":200,"
      "\"request_id\":\"batch_req_1\",\"body\":{\"text\":\"A\\n\"}},\"error\":null}\n");
}

TEST(BatchLine, QuotesWhatIsNoJson) {
  EXPECT_NE(batch_line("x", outcome(500, "it\nbroke")).find(R"("body":"it\nbroke")"),
            std::string::npos);
  // No line of the file may be broken by what an engine sends.
  EXPECT_NE(batch_line("x", outcome(400, "{not json")).find(R"("body":"{not json")"),
            std::string::npos);
  EXPECT_NE(batch_line("x", outcome(500, "caf\xe9")).find(R"("body":"caf?")"), std::string::npos);
}

TEST(BatchLine, SaysWhyThereIsNoAnswer) {
  EXPECT_EQ(batch_line("x", outcome(0, "it broke")),
            "{\"id\":\"x\",\"custom_id\":\"a \\\"b\\\"\",\"response\":null,"
            "\"error\":{\"code\":\"no_answer\",\"message\":\"it broke\"}}\n");
  EXPECT_NE(expired_line("x", "a").find(R"("code":"batch_expired")"), std::string::npos);
}

}  // namespace
}  // namespace batchproxy
