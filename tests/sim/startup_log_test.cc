// tests/sim/startup_log_test.cc - the lines by which a launcher follows a start.
#include "backends/sim/startup_log.h"

#include <algorithm>
#include <regex>

#include <gtest/gtest.h>

namespace batchproxy::sim {
namespace {

std::vector<StartupLine> lines() {
  const std::vector<std::string> arguments = {"org/m", "--dtype", "auto"};
  return startup_lines(parse_sim_flags(arguments), {476016, 8192, 2048}, "127.0.0.1:8001",
                       {"/v1/completions, Methods: POST"});
}

bool contains(const std::string& pattern) {
  return std::ranges::any_of(lines(), [re = std::regex(pattern)](const StartupLine& line) {
    return std::regex_search(line.text, re);
  });
}

TEST(StartupLog, SaysFirstThatThisIsASimulation) {
  EXPECT_NE(lines().front().text.find("SIMULATED"), std::string::npos);
}

TEST(StartupLog, HasTheLinesThatToolsLookFor) {
  EXPECT_TRUE(contains(R"(Starting to load model org/m\.\.\.)"));
  EXPECT_TRUE(contains(R"(Loading safetensors checkpoint shards:\s+50% Completed \| 1/2)"));
  EXPECT_TRUE(contains(R"(Model loading took [\d.]+ GiB memory and [\d.]+ seconds)"));
  EXPECT_TRUE(contains(R"(GPU KV cache size: 476,016 tokens, Maximum concurrency for 8,192 )"
                       R"(tokens per request: 58\.11x)"));
  EXPECT_TRUE(contains(R"(Route: /v1/completions, Methods: POST)"));
  EXPECT_TRUE(contains(R"(Starting vLLM server on http://127\.0\.0\.1:8001)"));
  EXPECT_TRUE(contains(R"(Ignored by the simulation: --dtype auto)"));
  EXPECT_NE(lines().back().text.find("Application startup complete."), std::string::npos);
}

TEST(StartupLog, ComesInOrderOfTime) {
  EXPECT_TRUE(std::ranges::is_sorted(lines(), {}, &StartupLine::after));
  EXPECT_DOUBLE_EQ(lines().back().after, 1);
}

TEST(StartupLog, LooksLikeVllmsLog) {
  const std::string line = vllm_log_line("INFO", "core.py:77", "hello", 1755000000);
  EXPECT_TRUE(std::regex_match(
      line,
      std::regex(R"(\(EngineCore pid=\d+\) INFO \d\d-\d\d \d\d:\d\d:\d\d \[core\.py:77\] hello)")));
}

TEST(StartupLog, TellsTheLongestContextThatWouldFit) {
  const std::string line = kv_too_small_lines(9936, 32768, 0).front();
  EXPECT_NE(line.find("max seq len (32768), (16.00 GiB KV cache is needed"), std::string::npos);
  EXPECT_NE(line.find("memory (4.85 GiB)"), std::string::npos);
  EXPECT_NE(line.find("estimated maximum model length is 9936"), std::string::npos);
}

}  // namespace
}  // namespace batchproxy::sim
