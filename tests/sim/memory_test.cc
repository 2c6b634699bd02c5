// tests/sim/memory_test.cc - what fits into a KV cache, and vLLM's words when it is too little.
#include "backends/sim/memory.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <gtest/gtest.h>

namespace batchproxy::sim {
namespace {

KvMemory qwen(double gib, const std::string& version) {
  return {gib, kv_bytes_per_token(ModelShape{}, 1, 1), parse_vllm_version(version)};
}

TEST(KvMemory, OfQwen7BHasHalfAMebibyteForEachToken) {
  EXPECT_DOUBLE_EQ(kv_bytes_per_token({32, 32, 128, 2}, 1, 1), 524288);
  EXPECT_DOUBLE_EQ(kv_bytes_per_token({32, 32, 128, 2}, 2, 1), 262144);
  EXPECT_DOUBLE_EQ(kv_bytes_per_token({32, 2, 128, 2}, 8, 1), 2.0 * 32 * 128 * 2)
      << "a head is not divided";
  EXPECT_DOUBLE_EQ(kv_bytes_per_token({33, 32, 128, 2}, 1, 2), 17.0 / 32 * 524288);
}

TEST(KvMemory, HoldsWholeBlocksAndSince033OneLess) {
  EXPECT_EQ(qwen(4.85, "0.32").tokens(), 9920);
  EXPECT_EQ(qwen(4.85, "0.33").tokens(), 9904);
  EXPECT_EQ(qwen(4.8516, "0.32").tokens(), 9936);
  EXPECT_EQ(qwen(4.8516, "0.33").tokens(), 9920);
}

TEST(KvError, IsNoneWhereTheContextFits) {
  EXPECT_EQ(kv_error(qwen(16.1, "0.33"), 32768), "");
  EXPECT_EQ(kv_error(qwen(16.0, "0.32"), 32768), "");
}

TEST(KvError, Of033RefusesExactlySixteenGiBForItsBlock) {
  EXPECT_NE(kv_error(qwen(16.0, "0.33"), 32768).find("estimated maximum model length is 32752"),
            std::string::npos);
  EXPECT_EQ(kv_error(qwen(16.0078125, "0.33"), 32768), "");
}

TEST(KvError, HasTheWordsOfEachEra) {
  EXPECT_NE(kv_error(qwen(4.85, "0.7"), 32768)
                .find("models's max seq len (32768), (16.00 GB KV cache is needed, which is larger "
                      "than the available KV cache memory (4.85 GB). Try increasing"),
            std::string::npos);
  EXPECT_NE(kv_error(qwen(4.85, "0.12"), 32768)
                .find("(16.00 GiB KV cache is needed, which is larger than the available KV cache "
                      "memory (4.85 GiB). Based on the available memory, the estimated maximum "
                      "model length is 9920. Try increasing `gpu_memory_utilization` or"),
            std::string::npos);
  EXPECT_NE(kv_error(qwen(4.8516, "0.33"), 32768)
                .find("model's max seq len (32768), (16.0 GiB KV cache is needed, which is larger "
                      "than the available KV cache memory (4.84 GiB). Based on the available "
                      "memory, the estimated maximum model length is 9920."),
            std::string::npos);
  EXPECT_NE(kv_error(qwen(0.001, "0.32"), 100).find("No available memory for the cache blocks"),
            std::string::npos);
}

TEST(ModelShape, IsReadFromTheModelsDirectory) {
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / "batchproxy-memory-test-XXXXXX";
  std::string name = directory;
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  std::ofstream(name + "/config.json")
      << R"({"num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
             "hidden_size": 3584, "max_position_embeddings": 131072})";
  EXPECT_EQ(read_model_shape(name), (ModelShape{28, 4, 128, 2, 131072}));
  std::ofstream(name + "/config.json") << "{}";
  EXPECT_EQ(read_model_shape(name), std::nullopt);
  std::filesystem::remove_all(name);
  EXPECT_EQ(read_model_shape(name), std::nullopt);
}

TEST(SimMemoryFlags, AreReadInTheFormsThatPeopleWrite) {
  EXPECT_DOUBLE_EQ(parse_gib("4.85GiB"), 4.85);
  EXPECT_DOUBLE_EQ(parse_gib("4.85 GiB"), 4.85);
  EXPECT_DOUBLE_EQ(parse_gib("16"), 16);
  EXPECT_EQ(parse_model_shape("28,4,128,2"), (ModelShape{28, 4, 128, 2, 32768}));
  EXPECT_EQ(parse_vllm_version("0.7.3"), (VllmVersion{0, 7}));
  for (const char* bad : {"", "x", "-1", "4.85TiB"}) EXPECT_THROW(parse_gib(bad), std::exception);
  for (const char* bad : {"", "1,2,3", "1,2,3,0", "a,b,c,d"}) {
    EXPECT_THROW(parse_model_shape(bad), std::invalid_argument) << bad;
  }
  for (const char* bad : {"", "33", "0.x"}) {
    EXPECT_THROW(parse_vllm_version(bad), std::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace batchproxy::sim
