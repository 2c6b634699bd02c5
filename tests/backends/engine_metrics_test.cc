// tests/backends/engine_metrics_test.cc - what is read from an engine's /metrics.
#include "backends/health/engine_metrics.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

TEST(EngineMetrics, ReadsWhatVllmSays) {
  const auto metrics = parse_engine_metrics(
      "# HELP vllm:num_requests_running Number of requests.\n"
      "# TYPE vllm:num_requests_running gauge\n"
      "vllm:num_requests_running{engine=\"0\",model_name=\"a {b} c\"} 12.0\n"
      "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 3.0\n"
      "vllm:num_preemptions_total{engine=\"0\",model_name=\"m\"} 7.0\n"
      "vllm:iteration_tokens_total_count{engine=\"0\",model_name=\"m\"} 1.5e+03\n"
      "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"1000\"} 1.0\n");
  ASSERT_TRUE(metrics);
  EXPECT_EQ(metrics->sample.running, 12);
  EXPECT_EQ(metrics->sample.waiting, 3);
  EXPECT_EQ(metrics->sample.preemptions, 7u);
  EXPECT_EQ(metrics->sample.steps, 1500u);
  EXPECT_EQ(metrics->kv_tokens, 16000u);
}

TEST(EngineMetrics, ReadsWhatPeopleWantToSee) {
  const auto metrics = parse_engine_metrics(
      "vllm:num_requests_running{engine=\"0\"} 2\nvllm:num_requests_waiting{engine=\"0\"} 5\n"
      "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.75\n"
      "vllm:prompt_tokens_total{engine=\"0\"} 10.0\nvllm:prompt_tokens_total{engine=\"1\"} 5.0\n"
      "vllm:generation_tokens_total{engine=\"0\"} 7.0\n"
      "vllm:prefix_cache_queries_total{engine=\"0\"} 100.0\n"
      "vllm:prefix_cache_hits_total{engine=\"0\"} 40.0\n");
  ASSERT_TRUE(metrics);
  EXPECT_EQ(metrics->figures.running, 2);
  EXPECT_EQ(metrics->figures.waiting, 5);
  EXPECT_EQ(metrics->figures.kv_use, 0.75);
  EXPECT_EQ(metrics->figures.prompt_tokens, 15u);
  EXPECT_EQ(metrics->figures.generation_tokens, 7u);
  EXPECT_EQ(metrics->figures.prefix_queries, 100u);
  EXPECT_EQ(metrics->figures.prefix_hits, 40u);
}

TEST(EngineMetrics, TakesALabelByItsWholeName) {
  const auto metrics = parse_engine_metrics(
      "vllm:num_requests_running{engine=\"0\"} 1\nvllm:num_requests_waiting{engine=\"0\"} 4\n"
      "vllm:cache_config_info{_block_size_resolved=\"True\",block_size=\"128\","
      "effective_attention_block_size=\"64\",hash_block_size=\"None\",num_cpu_blocks=\"None\","
      "num_gpu_blocks=\"4096\",num_gpu_blocks_override=\"None\","
      "user_specified_block_size=\"False\"} 1.0\n");
  ASSERT_TRUE(metrics);
  EXPECT_EQ(metrics->kv_tokens, 524288u);
}

TEST(EngineMetrics, AddsUpTheEnginesOfADataParallelServer) {
  const auto metrics = parse_engine_metrics(
      "vllm:num_requests_running{engine=\"0\"} 1\nvllm:num_requests_running{engine=\"1\"} 2\n"
      "vllm:num_requests_waiting{engine=\"0\"} 4\nvllm:num_requests_waiting{engine=\"1\"} 8");
  ASSERT_TRUE(metrics);
  EXPECT_EQ(metrics->sample.running, 3);
  EXPECT_EQ(metrics->sample.waiting, 12);
}

TEST(EngineMetrics, SaysNothingOfWhatItCannotRead) {
  EXPECT_FALSE(parse_engine_metrics(""));
  EXPECT_FALSE(parse_engine_metrics("vllm:num_requests_running 1\n"));
  EXPECT_FALSE(parse_engine_metrics("llamacpp:requests_processing 1\n"));
  EXPECT_FALSE(parse_engine_metrics("vllm:num_requests_running{ 1\nvllm:num_requests_waiting nan"));
}

}  // namespace
}  // namespace batchproxy
