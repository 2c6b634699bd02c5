// tests/launcher/memory/plan_report_test.cc - from a model's directory to what is printed of it.
#include "launcher/memory/plan_report.h"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

#include "launcher/memory/plan_text.h"
#include "launcher/process/run_separator.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;

const std::string kConfig = R"({"model_type":"llama","hidden_size":4096,"intermediate_size":14336,
  "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":128256,
  "max_position_embeddings":131072})";

// A safetensors file with a header of one tensor, and as long as that tells: a hole, no data.
void write_shard(const fs::path& path, const std::string& tensor, std::int64_t elements) {
  const std::string header = R"({")" + tensor + R"(":{"dtype":"BF16","shape":[)" +
                             std::to_string(elements) + R"(],"data_offsets":[0,)" +
                             std::to_string(2 * elements) + "]}}";
  std::ofstream file(path, std::ios::binary);
  std::uint64_t length = header.size();
  for (int i = 0; i < 8; ++i, length >>= 8) file.put(static_cast<char>(length & 0xff));
  file << header;
  file.close();
  fs::resize_file(path, 8 + header.size() + 2 * static_cast<std::uintmax_t>(elements));
}

class PlanReports : public testing::Test {
 protected:
  PlanReports() {
    fs::create_directories(model_);
    std::ofstream(model_ / "config.json") << kConfig;
    write_shard(model_ / "model.safetensors", "model.layers.0.w", 8'000'000'000);  // 14.9 GiB
    wish_.model = model_.string();
  }

  PlanReport plan(const std::string& gpus) {
    wish_.pool = *assumed_gpus(gpus);
    return plan_model(wish_, environment_);
  }

  std::string reason() { return plan_model(wish_, environment_).not_planned; }

  TemporaryDirectory directory_;
  fs::path model_ = directory_.file("model");
  Environment environment_;
  PlanWish wish_;
};

TEST_F(PlanReports, FitsOnOneLargeGpu) {
  const PlanReport report = plan("8xH100-80GB");
  EXPECT_EQ(report.not_planned, "");
  EXPECT_TRUE(report.plan.fits());
  EXPECT_EQ(report.flags.tensor_parallel(), 1);
  EXPECT_EQ(report.group.indices, (std::vector<int>{0}));
  EXPECT_NEAR(to_gib(report.plan.shares.weights), 14.9, 0.01);
  EXPECT_EQ(report.plan.large_tensors.size(), 1u);
  EXPECT_EQ(report.shortened_from, 0);
}

TEST_F(PlanReports, TakesAsManyGpusAsHoldTheModel) {
  EXPECT_EQ(plan("8x12GiB").flags.tensor_parallel(), 2);
  EXPECT_TRUE(plan("8x12GiB").plan.fits());
}

TEST_F(PlanReports, TakeAPowerOfTwo) {
  write_shard(model_ / "model.safetensors", "model.layers.0.w", 17'000'000'000);  // 31.7 GiB
  std::ofstream(model_ / "config.json")
      << R"({"model_type":"llama","head_dim":128,"num_hidden_layers":32,"num_attention_heads":24,
           "num_key_value_heads":12,"vocab_size":129024,"max_position_embeddings":8192})";
  EXPECT_EQ(plan("8x16GiB").plan.allowed_tensor_parallel,
            (std::vector<std::int64_t>{1, 2, 3, 4, 6, 12}));
  EXPECT_EQ(plan("8x16GiB").flags.tensor_parallel(), 4);
}

TEST_F(PlanReports, TakeWeightsThatAreToldForThoseOfOneGpu) {
  wish_.weights_per_gpu = from_gib(15);
  const PlanReport report = plan("8x12GiB");
  EXPECT_EQ(report.flags.tensor_parallel(), 2);
  EXPECT_NEAR(to_gib(report.plan.shares.weights), 7.5, 0.001);
  wish_.gpus = 2;
  EXPECT_NEAR(to_gib(plan("8x12GiB").plan.shares.weights), 15, 0.001);
}

TEST_F(PlanReports, ShortensOnlyAContextThatIsNotPinned) {
  const PlanReport report = plan("1x24GiB");
  EXPECT_TRUE(report.plan.fits());
  EXPECT_EQ(report.shortened_from, 131072);
  EXPECT_LT(report.plan.max_model_len, 131072);
  EXPECT_NE(report.notes.front().find("SHORTENED from 131,072 to"), std::string::npos);
  ASSERT_EQ(report.set.size(), 1u);
  EXPECT_EQ(report.set[0].argument,
            (Argument{"max_model_len", std::to_string(report.plan.max_model_len)}));
  wish_.flags.max_model_len = 131072;
  const PlanReport pinned = plan("1x24GiB");
  EXPECT_FALSE(pinned.plan.fits());
  EXPECT_TRUE(pinned.set.empty());
  EXPECT_EQ(pinned.plan.max_model_len, 131072);
  EXPECT_FALSE(pinned.suggestions.empty());
}

TEST_F(PlanReports, TellsOfGpusThatAreLeftOver) {
  wish_.gpus = 3;
  const PlanReport report = plan("8x24GiB");
  EXPECT_EQ(report.flags.tensor_parallel(), 2);
  EXPECT_EQ(report.notes.back(),
            "1 of the 3 GPUs is left over: the model can be shared out over 1, 2, 4, 8, 16 GPUs");
}

TEST_F(PlanReports, TellsOfGpusThatAreMissing) {
  wish_.flags.tensor_parallel_size = 4;
  EXPECT_EQ(plan("2x24GiB").plan.problems.back(), "the engine takes 4 GPUs, and there are 2");
}

TEST_F(PlanReports, UseWhatWasLearnt) {
  const PlanReport before = plan("1xH100-80GB");
  EXPECT_FALSE(before.plan.is_learned);
  EngineBudget budget;
  budget.available_kv = from_gib(50);
  EXPECT_EQ(before.key, (LearnedKey{wish_.model, "H100-80GB", "0.33",
                                    learned_flags(before.flags, before.plan.sizes)}));
  wish_.learned.merge(before.key, budget);
  const PlanReport after = plan("1xH100-80GB");
  EXPECT_TRUE(after.plan.is_learned);
  EXPECT_EQ(after.plan.shares.available_kv, from_gib(50));
}

TEST_F(PlanReports, LearnFromALogOfTheirEngine) {
  const std::string log = directory_.file("engine-0.log");
  const std::string earlier = "Available KV cache memory: 1.00 GiB\n" +
                              run_separator(run_name("engine-0", 2), "2026-11-29T14:33:18Z") + "\n";
  std::ofstream(log) << earlier << "Model loading took 15.00 GiB memory and 3 seconds\n"
                     << std::string(100000, 'x') << "\r\nAvailable KV cache memory: 50.00 GiB\n";
  const std::string file = directory_.file("learned.json");
  const PlanReport before = plan("1xH100-80GB");
  EXPECT_EQ(learn_from_log(file, before, log, 0), "");
  wish_.learned = read_learned(file).learned;
  const PlanReport after = plan("1xH100-80GB");
  EXPECT_EQ(after.plan.shares.available_kv, from_gib(50));
  const GpuShares& shares = after.plan.shares;
  EXPECT_EQ(shares.weights, from_gib(15));
  EXPECT_EQ(shares.weights + shares.activation + shares.overhead() + shares.available_kv,
            shares.requested);
  wish_.flags.gpu_memory_utilization = 0.82;
  EXPECT_NEAR(to_gib(plan("1xH100-80GB").plan.shares.available_kv), 50 - 7.919, 0.001);
  EXPECT_NE(learn_from_log(file, before, directory_.file("none.log"), 0), "");
}

TEST_F(PlanReports, OfAModelWithoutAFormulaShowWhatWasLearnt) {
  std::ofstream(model_ / "config.json") << R"({"model_type":"deepseek_v4"})";
  const PlanReport before = plan("1xH100-80GB");
  EngineBudget budget;
  budget.available_kv = from_gib(32.08);
  wish_.learned.merge(before.key, budget);
  EXPECT_NE(plan_text(plan("1xH100-80GB")).find(" 32.08 GiB\n"), std::string::npos);
}

TEST_F(PlanReports, NeedNoGpusWhereTheCacheIsTold) {
  wish_.flags.kv_cache_memory = from_gib(58.11);
  wish_.flags.max_model_len = 8192;
  wish_.flags.version = {0, 19};
  const PlanReport report = plan_model(wish_, environment_);
  EXPECT_EQ(report.plan.kv_tokens, 476032);
}

TEST_F(PlanReports, FindAModelInTheCacheOfHuggingFace) {
  const fs::path repository = directory_.file("hf/hub/models--org--name");
  fs::create_directories(repository / "snapshots" / "abc");
  fs::copy(model_ / "config.json", repository / "snapshots" / "abc" / "config.json");
  fs::create_directories(repository / "snapshots" / "old");
  fs::create_directories(repository / "refs");
  std::ofstream(repository / "refs" / "main") << "abc";
  environment_ = {{"HF_HOME", directory_.file("hf")}};
  EXPECT_EQ(*find_model("org/name", environment_), (repository / "snapshots" / "abc").string());
  fs::remove(repository / "refs" / "main");
  EXPECT_EQ(*find_model("org/name", environment_), (repository / "snapshots" / "abc").string());
  wish_.model = "org/other";
  EXPECT_EQ(reason(),
            "'org/other' is neither a directory nor in the cache " + directory_.file("hf/hub"));
  wish_.model = "./other";
  EXPECT_EQ(reason(), "'./other' is no directory of this machine");
}

TEST_F(PlanReports, SayWhichFileIsDamaged) {
  const fs::path shard = model_ / "model.safetensors";
  std::ofstream(shard, std::ios::binary) << "short";
  EXPECT_EQ(reason(), shard.string() + ": only 5 bytes, so it is no safetensors file");
  fs::remove(shard);
  EXPECT_TRUE(reason().starts_with("the weights' size is not known"));
  std::ofstream(model_ / "config.json") << "{";
  EXPECT_TRUE(reason().starts_with((model_ / "config.json").string() + ": not valid JSON"));
  fs::remove(model_ / "config.json");
  EXPECT_EQ(reason(), (model_ / "config.json").string() + " cannot be read");
}

TEST_F(PlanReports, TellOfShardsThatAreMissingOrTruncated) {
  const fs::path shard = model_ / "model.safetensors";
  fs::resize_file(shard, fs::file_size(shard) - 1000);
  PlanReport report = plan("1xH100-80GB");
  EXPECT_NE(report.notes.back().find("is truncated: its header tells of 16000000000 bytes"),
            std::string::npos);
  std::ofstream(model_ / "model.safetensors.index.json")
      << R"({"metadata":{"total_size":30000000000},"weight_map":{"a":"model.safetensors",
           "b":"model-2.safetensors"}})";
  report = plan("1xH100-80GB");
  ASSERT_GE(report.notes.size(), 2u);
  EXPECT_EQ(report.notes.end()[-2], (model_ / "model-2.safetensors").string() +
                                        " is missing, so the model is not complete");
  EXPECT_NEAR(to_gib(report.plan.shares.weights), 27.94, 0.01);
}

TEST_F(PlanReports, AsJsonHaveTheirMembers) {
  namespace json = boost::json;
  wish_.flags.max_model_len = 131072;
  EXPECT_EQ(json::parse(plan_json(plan("1x24GiB"))).as_object().at("set").as_array().size(), 0u);
  const json::value value = json::parse(plan_json(plan("1x24GiB")));
  const json::object& plan = value.as_object();
  const json::object& share = plan.at("per_gpu").as_object();
  for (const char* name : {"weights_gib", "activation_gib", "overhead_gib", "available_kv_gib"}) {
    EXPECT_TRUE(share.at(name).is_double()) << name;
  }
  EXPECT_EQ(share.at("kv_bytes_per_token").as_int64(), 131072);
  EXPECT_GT(share.at("kv_tokens").as_int64(), 0);
  EXPECT_EQ(plan.at("max_model_len").as_int64(), 131072);
  EXPECT_TRUE(plan.at("max_concurrency").is_double());
  EXPECT_EQ(plan.at("tensor_parallel_size").as_int64(), 1);
  EXPECT_FALSE(plan.at("fits").as_bool());
  EXPECT_FALSE(plan.at("suggestions").as_array().empty());
  wish_.model = "no/\"such\"\n";
  const json::value none = json::parse(plan_json(plan_model(wish_, environment_)));
  EXPECT_FALSE(none.as_object().at("planned").as_bool());
}

TEST_F(PlanReports, AsTextNumberWhatWouldFit) {
  wish_.flags.max_model_len = 131072;
  wish_.gpus = 1;
  const std::string text = plan_text(plan("2x24GiB"));
  EXPECT_NE(text.find("It does NOT fit:"), std::string::npos);
  EXPECT_NE(text.find("  1. --max-model-len "), std::string::npos);
  EXPECT_NE(text.find("  2. --tensor-parallel-size 2: a request of 131,072 tokens needs 8."),
            std::string::npos)
      << text;
}

TEST_F(PlanReports, AsTextListTheLargestTensorsOnly) {
  ModelFiles files;
  files.config = {"config.json", kConfig};
  for (int i = 0; i < 20; ++i) {
    files.tensors.push_back({"experts." + std::to_string(i), "BF16", 400'000'000, 800'000'000});
  }
  wish_.pool = *assumed_gpus("1xH100-80GB");
  const std::string text = plan_text(plan_report(wish_, files));
  EXPECT_NE(text.find("large: 12 more, 0.75 GiB and less each\n"), std::string::npos) << text;
}

// Llama-3.3-70B as its files tell it.
ModelFiles llama_70b() {
  ModelFiles files;
  files.config = {"config.json", R"({"model_type":"llama","hidden_size":8192,
    "intermediate_size":28672,"num_hidden_layers":80,"num_attention_heads":64,
    "num_key_value_heads":8,"vocab_size":128256,"max_position_embeddings":131072})"};
  const auto add = [&files](const std::string& name, std::int64_t rows, std::int64_t columns) {
    files.tensors.push_back({name, "BF16", rows * columns, 2 * rows * columns});
  };
  add("model.embed_tokens.weight", 128256, 8192);
  add("lm_head.weight", 128256, 8192);
  for (int layer = 0; layer < 80; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    for (const char* name : {"q_proj", "o_proj"}) add(prefix + name, 8192, 8192);
    for (const char* name : {"k_proj", "v_proj"}) add(prefix + name, 1024, 8192);
    for (const char* name : {"gate_proj", "up_proj", "down_proj"}) add(prefix + name, 28672, 8192);
  }
  return files;
}

TEST(PlanText, TheExampleInTheDocsIsWhatIsPrinted) {
  PlanWish wish;
  wish.model = "meta-llama/Llama-3.3-70B-Instruct";
  wish.pool = *assumed_gpus("8xH100-80GB");
  wish.flags.max_model_len = 131072;
  wish.gpus = 2;
  const std::string printed = plan_text(plan_report(wish, llama_70b()));
  const std::string path = std::string(BATCHPROXY_SOURCE_DIR) + "/docs/MEMORY.md";
  std::ifstream file(path);
  std::string docs{std::istreambuf_iterator<char>(file), {}};
  const std::string fence = "```text\n";
  const std::size_t begin = docs.find(fence) + fence.size();
  const std::size_t end = docs.find("```", begin);
  ASSERT_NE(end, std::string::npos);
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << docs.replace(begin, end - begin, printed);
    return;
  }
  EXPECT_EQ(docs.substr(begin, end - begin), printed) << "UPDATE_GOLDEN=1 rewrites it";
}

}  // namespace
}  // namespace batchproxy
