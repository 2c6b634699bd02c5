// tests/sim/startup_log_test.cc - the lines by which a launcher follows a start.
#include "backends/sim/startup_log.h"

#include <algorithm>
#include <regex>

#include <gtest/gtest.h>

namespace batchproxy::sim {
namespace {

std::vector<StartupLine> lines() {
  const std::vector<std::string> arguments = {"org/m", "--dtype", "auto"};
  return startup_lines(parse_sim_flags(arguments), {476016, 58.11, 8192, 2048}, "127.0.0.1:8001",
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

TEST(StartupLog, TriesTheGraphsFirstSince033) {
  const auto stages = [](const std::string& version) {
    const std::vector<std::string> arguments = {"org/m", "--sim-vllm-version", version};
    std::string order;
    for (const StartupLine& line :
         startup_lines(parse_sim_flags(arguments), {476016, 58.11, 8192, 2048}, "a:1", {})) {
      if (line.text.find("Capturing CUDA graphs") != std::string::npos) order += "graphs ";
      if (line.text.find("KV cache size") != std::string::npos) order += "kv ";
    }
    return order;
  };
  EXPECT_EQ(stages("0.32"), "kv graphs ");
  EXPECT_EQ(stages("0.33"), "graphs kv graphs ");
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

TEST(FailureLines, TellTheCauseFirstAndThenPointBackToIt) {
  const Failure failure{0.5, Ending::kError, {"load_model"}, "RuntimeError: broken"};
  const std::string text = joined(failure_lines(failure, 0));
  EXPECT_TRUE(std::regex_search(
      text, std::regex(R"(\(EngineCore pid=\d+\) ERROR .*\] EngineCore failed to start\.\n)")));
  EXPECT_NE(text.find("] RuntimeError: broken\n"), std::string::npos);
  EXPECT_NE(text.find(", in load_model\nRuntimeError: broken\n"), std::string::npos);
  EXPECT_TRUE(text.ends_with(
      "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
      "proc(s): {}\n"));
}

TEST(FailureLines, OfTheFrontEndHaveNoEngine) {
  const Failure failure{0, Ending::kFrontEnd, {"create_server_socket"}, "OSError: taken"};
  const std::string text = joined(failure_lines(failure, 0));
  EXPECT_TRUE(text.ends_with(", in create_server_socket\nOSError: taken\n"));
  EXPECT_EQ(text.find("EngineCore"), std::string::npos);
}

TEST(FailureLines, OfAKilledEngineSayOnlyThatItIsGone) {
  const std::string text = joined(failure_lines({0.5, Ending::kSilent, {}, ""}, 0));
  EXPECT_EQ(text.find("EngineCore failed to start"), std::string::npos);
  EXPECT_TRUE(text.ends_with("Failed core proc(s): {'EngineCore': -9}\n"));
}

}  // namespace
}  // namespace batchproxy::sim
