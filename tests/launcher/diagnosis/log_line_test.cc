// tests/launcher/diagnosis/log_line_test.cc - what stands before a message in several environments.
#include "launcher/diagnosis/log_line.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

struct Case {
  LogLevel level;
  std::string_view text;
  std::string_view line;
};

TEST(LogLine, IsFoundBehindThePrefixesOfEachEra) {
  constexpr Case kCases[] = {
      {LogLevel::kError, "ValueError: x", "ERROR 01-02 03:04:05 core.py:1] ValueError: x"},
      {LogLevel::kError, "ValueError: x", "ERROR 04-30 10:20:36 [core.py:396] ValueError: x"},
      {LogLevel::kError, "ValueError: x",
       "(EngineCore_DP0 pid=7) ERROR 09-28 15:47:24 [v1/engine/core.py:718] ValueError: x"},
      {LogLevel::kError, "ValueError: x", "(EngineCore pid=1) ERROR [core.py:1224] ValueError: x"},
      {LogLevel::kError, "x", "(VllmWorker rank=3 pid=9) ERROR 06-05 06:18:13 [a.py:4] x"},
      {LogLevel::kError, "x", "(RayWorker pid=5, ip=10.0.0.1) ERROR 06-05 06:18:13 [a.py:4] x"},
      {LogLevel::kNone, "ValueError: x", "[multiproc_executor.py:492] ValueError: x"},
      {LogLevel::kNone, "OSError: x", "[rank3]: OSError: x"},
      {LogLevel::kInfo, "Shutting down", "INFO:     Shutting down"},
      {LogLevel::kError, "[Errno 98] x", "ERROR:    [Errno 98] x"},
      {LogLevel::kWarning, "x", "vllm-1  | WARNING 06-05 06:18:13 [a.py:4] x"},
      {LogLevel::kInfo, "x",
       "2026-04-22T01:30:33.123Z (APIServer pid=1) INFO 04-22 01:30:33 [a.py:4] x"},
      {LogLevel::kNone, "    return cls(",
       "Aug 19 18:34:30 host vllm[87]: (APIServer pid=87)     return cls("},
      {LogLevel::kNone, "  File \"x\"", "Aug 19 18:34:30 host vllm[87]:   File \"x\""},
      {LogLevel::kError, "x",
       "2026-06-09 14:01:54.604 [Info] (Process) (EngineCore pid=4) ERROR 06-09 14:01:54 [a.py:4] "
       "x"},
      {LogLevel::kNone, "at 18:34:30 it (Worker) failed: no", "at 18:34:30 it (Worker) failed: no"},
      {LogLevel::kNone, "plain words: 5", "plain words: 5"},
      {LogLevel::kNone, "ERRORS happen", "ERRORS happen"},
      {LogLevel::kNone, "  a | b", "  a | b"},
      {LogLevel::kNone, "", ""},
  };
  for (const Case& expected : kCases) {
    const LogLine line = take_apart(expected.line);
    EXPECT_EQ(line.text, expected.text) << expected.line;
    EXPECT_EQ(line.level, expected.level) << expected.line;
  }
}

TEST(LogLine, HasTheLevelOfGlogAndOfJson) {
  EXPECT_EQ(take_apart("W1128 21:05:09.368000 7 torch/x.py:29] y").level, LogLevel::kWarning);
  EXPECT_EQ(take_apart("[rank3]:[W422 01:30:39.07 TCPStore.cpp:125] y").level, LogLevel::kWarning);
  EXPECT_EQ(take_apart(R"({"level": "WARNING", "message": "an \"ERROR\""})").level,
            LogLevel::kWarning);
}

TEST(LogLine, KeepsItsIndentation) {
  EXPECT_EQ(take_apart("(EngineCore pid=7) ERROR 01-02 03:04:05 [a.py:1]     raise it").text,
            "    raise it");
  EXPECT_EQ(take_apart("(APIServer pid=1)   Value error, x").text, "  Value error, x");
}

TEST(LogLine, LosesItsEscapes) {
  EXPECT_EQ(without_escapes("\x1b[1;36mred\x1b[0m \x1b[K|\x1b"), "red |");
}

TEST(IsCode, KnowsTheInsideOfATraceback) {
  EXPECT_TRUE(is_code("    raise ValueError("));
  EXPECT_TRUE(is_code("  File \"/x.py\", line 5, in f"));
  EXPECT_TRUE(is_code("Traceback (most recent call last):"));
  EXPECT_FALSE(is_code("  Value error, x"));
  EXPECT_FALSE(is_code("ValueError: x"));
}

TEST(IsException, KnowsTheEndOfATraceback) {
  for (const char* text : {"ValueError: x", "torch.OutOfMemoryError: x", "AssertionError",
                           "Exception: x", "vllm.exceptions.VLLMValidationError: x"}) {
    EXPECT_TRUE(is_exception(text)) << text;
  }
  for (const char* text :
       {"Exception ignored in: x", "Error in x", "x ValueError: y", "", "Error"}) {
    EXPECT_FALSE(is_exception(text)) << text;
  }
}

}  // namespace
}  // namespace batchproxy
