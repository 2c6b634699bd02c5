// tests/launcher/doctor/doctor_test.cc - each check on a box that passes it and on one that does
// not.
#include "launcher/doctor/doctor.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/loader.h"
#include "launcher/gpus/inventory_reader.h"
#include "tests/launcher/doctor/box.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const char* const kEight =
    "driver 580.95.05\ncuda 13000\ngpus 8 name=NVIDIA_H100 total=81559 capability=90\nswitched 18";

const char* const kLlama =
    R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
        "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "vocab_size": 32000, "max_position_embeddings": 32768,
        "torch_dtype": "bfloat16"})";

// A healthy box with eight GPUs, and a file for two engines of four.
class Doctor : public testing::Test {
 protected:
  Doctor() {
    box_.install_vllm();
    box_.file("/usr/local/cuda/bin/nvcc");
    box_.file("/proc/meminfo", "MemTotal: 2 kB\nMemAvailable:   524288000 kB\n");
    model("/models/m");
  }

  void model(const std::string& folder) {
    box_.file(folder + "/config.json", kLlama);
    // A head, and a hole where 12.6 GiB of weights would be.
    constexpr std::uint64_t kWeights = 6'738'415'616 * 2;
    const std::string head = safetensors_head(kWeights);
    box_.file(folder + "/model.safetensors", head);
    std::filesystem::resize_file(box_.machine.at(folder + "/model.safetensors"),
                                 head.size() + kWeights);
    box_.file(folder + "/tokenizer.json", "{}");
    box_.file(folder + "/tokenizer_config.json", R"({"chat_template": "{{ x }}"})");
  }

  static std::string safetensors(std::size_t bytes) {
    return safetensors_head(bytes) + std::string(bytes, 'w');
  }

  static std::string safetensors_head(std::uint64_t bytes) {
    const std::string size_text = std::to_string(bytes);
    const std::string head = R"({"model.layers.0.mlp.up_proj.weight":{"dtype":"U8","shape":[)" +
                             size_text + R"(],"data_offsets":[0,)" + size_text + "]}}";
    std::string text(sizeof(std::uint64_t), '\0');
    const std::uint64_t size = head.size();
    std::memcpy(text.data(), &size, sizeof size);
    return text + head;
  }

  std::vector<Finding> examined() {
    ::setenv("FAKE_NVML", gpus_.c_str(), 1);
    const LoadResult loaded = load({"my.yaml", file_, {}, {}});
    return examine(
        {.machine = box_.machine,
         .options = loaded.options,
         .configured = configured_,
         .inventory = read_inventory(
             [this](unsigned pid) { return box_.machine.process_name(pid); }, FAKE_NVML),
         .vllm = find_installation(box_.machine, *loaded.options.proxy.launcher.executable),
         .model_path = asked_model_,
         .outlook = outlook_});
  }

  // What is not ok: "name: verdict: text -> fix", a line each.
  std::string complaints() {
    std::string text;
    for (const Finding& finding : examined()) {
      if (finding.verdict == CheckVerdict::kOk) continue;
      EXPECT_FALSE(finding.fix.empty()) << finding.text;
      text += finding.name +
              (finding.verdict == CheckVerdict::kWarning ? ": warning: " : ": failure: ") +
              finding.text + " -> " + finding.fix + "\n";
    }
    return text;
  }

  void arguments(const std::string& words) {
    file_ = "model: {generator_settings: {boot_local: true, hf_model_id: /models/m, vllm_args: {" +
            words + "}}}\nbatchproxy: {launcher: {servers: 2}}\n";
  }

  Box box_;
  std::string gpus_ = kEight;
  std::string file_ =
      "model: {generator_settings: {boot_local: true, hf_model_id: /models/m, vllm_args: "
      "{tensor_parallel_size: 4}}}\nbatchproxy: {launcher: {servers: 2}}\n";
  bool configured_ = true;
  std::string asked_model_;
  std::optional<Outlook> outlook_;
};

TEST_F(Doctor, HasNothingToSayAgainstAHealthyBox) {
  EXPECT_EQ(complaints(), "");
  EXPECT_FALSE(has_failure(examined()));
}

TEST_F(Doctor, LooksAtTheMachineAloneWithoutAConfiguration) {
  configured_ = false;
  EXPECT_EQ(complaints(), "");
}

TEST_F(Doctor, PassesOnWhatEnginesOfOtherNodesWouldFind) {
  outlook_ = Outlook{{failure("no node has 16 GPUs", "allocate more")}, {ok("all can come")}};
  EXPECT_EQ(complaints(), "placement: failure: no node has 16 GPUs -> allocate more\n");
  EXPECT_THAT(doctor_text(examined()), HasSubstr("ok       agents        all can come\n"));
}

TEST_F(Doctor, SaysWhereTheGpusOfOtherNodesAreLookedAt) {
  gpus_ = "init 9";
  const auto on_nodes = [this](const std::string& engine) {
    file_ =
        "model: {generator_settings: {boot_local: true, hf_model_id: /models/m, vllm_args: "
        "{tensor_parallel_size: 4}}}\nbatchproxy: {launcher: {servers: 2, placement: slurm, "
        "engine: " +
        engine + "}}\n";
    return doctor_text(examined());
  };
  EXPECT_THAT(on_nodes("vllm"), HasSubstr("GPUs          those of other nodes, which cannot be "
                                          "seen from here: `batchproxy doctor` on a node"));
  EXPECT_THAT(on_nodes("sim"), HasSubstr("GPUs          none needed"));
}

TEST_F(Doctor, SaysThatThereIsNoDriver) {
  gpus_ = "init 9";
  EXPECT_THAT(complaints(), HasSubstr("GPUs: failure: cannot ask the NVIDIA driver"));
  EXPECT_TRUE(has_failure(examined()));
}

TEST_F(Doctor, NeedsNoGpuForASimulationOrACpu) {
  gpus_ = "init 9";
  file_ =
      "model: {generator_settings: {boot_local: true, hf_model_id: /models/m}}\n"
      "batchproxy: {launcher: {engine: sim}}\n";
  EXPECT_EQ(complaints(), "");
  file_ =
      "model: {generator_settings: {boot_local: true, hf_model_id: /models/m}}\n"
      "batchproxy: {launcher: {profile: cpu}}\n";
  EXPECT_EQ(complaints(), "");
}

TEST_F(Doctor, NamesALostGpuAndTooFew) {
  gpus_ += "\nlost 2";
  EXPECT_THAT(complaints(), HasSubstr("GPUs: failure: GPU 2 is lost"));
  EXPECT_THAT(complaints(),
              HasSubstr("needs 8 GPUs (2 engines x tensor_parallel_size 4), found 7"));
  gpus_ = "driver 580.1\ncuda 13000\ngpus 4 total=81559\nswitched 18";
  EXPECT_THAT(complaints(),
              HasSubstr("needs 8 GPUs (2 engines x tensor_parallel_size 4), found 4"));
  box_.machine.environment["CUDA_VISIBLE_DEVICES"] = "";
  EXPECT_THAT(complaints(), HasSubstr("CUDA_VISIBLE_DEVICES=: no GPU for engines"));
}

TEST_F(Doctor, NamesTheHolderOfAGpu) {
  gpus_ += "\ngpu 3 used=61000\nprocess 3 pid=4711 used=60000";
  box_.file("/proc/4711/cmdline", std::string("/usr/bin/python3\0train.py\0", 26));
  EXPECT_THAT(complaints(),
              HasSubstr("GPU memory: failure: GPU 3: 20.1 of 79.6 GiB are free, and "
                        "gpu_memory_utilization 0.92 needs 73.3; held by python3 (pid 4711) 58.6 "
                        "GiB -> end that process"));
  arguments("tensor_parallel_size: 4, gpu_memory_utilization: 0.2");
  EXPECT_EQ(complaints(), "");
  arguments("tensor_parallel_size: 1");  // GPUs 0 and 1 alone
  EXPECT_EQ(complaints(), "");
  configured_ = false;
  EXPECT_THAT(complaints(), HasSubstr("GPU memory: warning: GPU 3"));
}

TEST_F(Doctor, ComparesTheDriverWithTheCudaOfPyTorch) {
  gpus_.replace(gpus_.find("13000"), 5, "12080");
  EXPECT_THAT(complaints(), HasSubstr("driver: failure: driver 580.95.05 runs CUDA up to 12.8; "
                                      "PyTorch 2.14.0 is built for 13.0 -> install a driver from "
                                      "580 on"));
}

TEST_F(Doctor, WarnsOfAGroupWithoutNvlinkAndOfAnIommuThere) {
  gpus_ = "driver 580.1\ncuda 13000\nnuma 4\ngpus 8 total=81559\nlink 0 1 4\nlink 2 3 4";
  EXPECT_THAT(complaints(), HasSubstr("NVLink: warning: GPUs 0 and 2 (NODE) have no NVLink"));
  EXPECT_THAT(complaints(), testing::Not(HasSubstr("peer to peer")));
  box_.folder("/sys/kernel/iommu_groups/17");
  EXPECT_THAT(complaints(), HasSubstr("peer to peer: warning: the IOMMU is on"));
  box_.file("/proc/cmdline", "BOOT_IMAGE=/vmlinuz intel_iommu=on iommu=pt\n");
  EXPECT_THAT(complaints(), testing::Not(HasSubstr("peer to peer")));
  arguments("tensor_parallel_size: 2");
  EXPECT_EQ(complaints(), "");  // linked pairs
}

TEST_F(Doctor, LooksForACompiler) {
  std::filesystem::remove_all(box_.machine.at("/usr/local/cuda"));
  EXPECT_THAT(complaints(), HasSubstr("nvcc: warning: no nvcc"));
  box_.machine.environment["CUDA_HOME"] = ":/usr/local/cuda";
  EXPECT_THAT(complaints(),
              HasSubstr("nvcc: failure: CUDA_HOME is ':/usr/local/cuda', and there is "
                        "no such folder -> remove the colon it begins with"));
  box_.machine.environment["CUDA_HOME"] = "/opt/cuda";
  box_.file("/opt/cuda/bin/nvcc");
  EXPECT_EQ(complaints(), "");
}

TEST_F(Doctor, MeasuresSharedMemoryDiskAndMemory) {
  box_.machine.space_at = [](const std::filesystem::path&) {
    return DiskSpace{64 << 20, 64 << 20};
  };
  box_.folder("/dev/shm");
  EXPECT_THAT(complaints(), HasSubstr("/dev/shm: failure: 64 MiB free of 64; engines over several "
                                      "GPUs need 320 MiB -> give the container more"));
  EXPECT_THAT(complaints(), HasSubstr("disk: warning: logs: 0.1 GiB free at "));
  box_.file("/sys/fs/cgroup/memory.max", "100\n");
  EXPECT_THAT(complaints(),
              HasSubstr("host memory: warning: 0.0 GiB available, the checkpoint has"));
}

TEST_F(Doctor, LooksAtLimitsAndPorts) {
  box_.machine.descriptors = [] { return DescriptorLimit{1024, 1024}; };
  box_.machine.is_port_free = [](int port) { return port != 8001; };
  box_.machine.port_holder = [](int) { return "python3 (pid 7)"; };
  EXPECT_EQ(
      complaints(),
      "files: warning: up to 1024 open files: clients take one each, and their requests "
      "another -> raise the hard limit: `ulimit -Hn 65536`, or LimitNOFILE= in systemd\n"
      "ports: failure: admin 127.0.0.1:8001 is taken: python3 (pid 7) listens there -> end the "
      "program that has it, or choose another by --admin HOST:PORT\n");
}

TEST_F(Doctor, LooksForVllmAndPyTorchOfOneEnvironment) {
  std::filesystem::remove_all(
      box_.machine.at("/venv/lib/python3.12/site-packages/torch-2.14.0.dist-info"));
  EXPECT_THAT(complaints(), HasSubstr("vLLM: failure: 0.33.0 at /venv/bin/vllm, without PyTorch"));
  std::filesystem::remove(box_.machine.at("/venv/bin/vllm"));
  EXPECT_THAT(complaints(), HasSubstr("vLLM: failure: `vllm` was not found on PATH"));
}

TEST_F(Doctor, LooksForTheProgramOfACommand) {
  file_ =
      "model: {generator_settings: {boot_local: true, hf_model_id: m}}\n"
      "batchproxy: {launcher: {engine: command, command: [my-server, '{port}']}}\n";
  EXPECT_EQ(
      complaints(),
      "vLLM: failure: `my-server` of batchproxy.launcher.command was not found -> activate its "
      "environment, or write its path\n");
  box_.program("/usr/bin/my-server", "x");
  EXPECT_EQ(complaints(), "");
}

TEST_F(Doctor, AsksForThePluginOfWhatLeftVllm) {
  arguments("tensor_parallel_size: 4, quantization: bitsandbytes");
  EXPECT_THAT(complaints(), HasSubstr("plugins: failure: bitsandbytes is used, and vLLM 0.33.0 has "
                                      "it no longer"));
  box_.package("vllm_bitsandbytes-0.1", "[vllm.general_plugins]\nb = b\n");
  EXPECT_EQ(complaints(), "");
}

TEST_F(Doctor, NamesArgumentsThatThisVersionNoLongerHas) {
  arguments("tensor_parallel_size: 4, swap_space: 4, rope_theta: 1");
  EXPECT_THAT(complaints(), HasSubstr("arguments: failure: vllm_args.rope_theta: vLLM 0.33.0 no "
                                      "longer has it: write hf_overrides"));
  EXPECT_THAT(complaints(), HasSubstr("arguments: warning: vllm_args.swap_space: vLLM 0.33.0 no "
                                      "longer has it; left out"));
}

TEST_F(Doctor, KnowsThatFp8NoLongerQuantisesWhileItLoads) {
  arguments("tensor_parallel_size: 4, quantization: fp8");
  EXPECT_THAT(complaints(),
              HasSubstr("arguments: failure: quantization: fp8, and the checkpoint is "
                        "not quantised"));
  box_.file("/models/m/config.json",
            R"({"model_type": "llama", "quantization_config": {"quant_method": "fp8"}})");
  EXPECT_EQ(complaints(), "");
}

TEST_F(Doctor, ValidatesAModel) {
  asked_model_ = "/models/other";
  EXPECT_THAT(complaints(), HasSubstr("model: failure: /models/other is neither a folder nor"));
  box_.folder("/models/other");
  EXPECT_THAT(complaints(), HasSubstr("no config.json in /models/other"));
  EXPECT_THAT(complaints(), HasSubstr("no weights in /models/other"));
  EXPECT_THAT(complaints(), HasSubstr("no tokenizer in /models/other"));
  EXPECT_THAT(complaints(), HasSubstr("model: warning: no chat template"));
  model("/models/other");
  EXPECT_EQ(complaints(), "");
  box_.file("/models/other/config.json",
            R"({"model_type": "mamba2", "time_step_limit": [0, Infinity]})");
  EXPECT_EQ(complaints(), "");
  box_.file("/models/other/config.json", "{\"model_type\": ");
  EXPECT_THAT(complaints(), HasSubstr("/models/other/config.json is no JSON object"));
}

TEST_F(Doctor, FindsShardsThatAreMissingCutOrPointers) {
  const std::string weights = "/models/m/model.safetensors";
  const std::string whole = safetensors(100);
  box_.file(weights, whole.substr(0, whole.size() - 1));
  EXPECT_THAT(complaints(), HasSubstr("model.safetensors: cut short: "));
  box_.file(weights, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
  EXPECT_THAT(complaints(), HasSubstr("model.safetensors: a git-lfs pointer"));
  box_.file(weights, std::string(9, '\x7f'));
  EXPECT_THAT(complaints(), HasSubstr("model.safetensors: damaged safetensors header: "));
  box_.file("/models/m/model.safetensors.index.json",
            R"({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}})");
  box_.file("/models/m/m-1.safetensors", whole);
  EXPECT_THAT(complaints(), HasSubstr("1 of 2 shards are missing: m-2.safetensors"));
}

TEST_F(Doctor, PlansTheMemoryOfTheGpusThatEachEngineGets) {
  gpus_ = "driver 580.1\ncuda 13000\ngpus 2 name=A10 total=24564 capability=86\ngpu 1 used=3000";
  arguments("gpu_memory_utilization: 0.8");
  EXPECT_EQ(complaints(), "");
  arguments("gpu_memory_utilization: 0.8, max_model_len: 16384");
  EXPECT_THAT(complaints(), HasSubstr("memory plan: failure: "));
  EXPECT_THAT(complaints(), HasSubstr("-> --"));
}

TEST_F(Doctor, FindsAModelInTheCache) {
  asked_model_ = "org/name";
  const std::string home = "/home/me/.cache/huggingface/hub/models--org--name";
  box_.file(home + "/refs/main", "abc\n");
  model(home + "/snapshots/abc");
  EXPECT_EQ(complaints(), "");
  asked_model_ = "";
  file_ = "model: {generator_settings: {boot_local: true, hf_model_id: org/absent}}\n";
  EXPECT_THAT(complaints(), HasSubstr("model: warning: org/absent is not in the cache"));
  box_.machine.environment["HF_HUB_OFFLINE"] = "1";
  EXPECT_THAT(complaints(), HasSubstr("model: failure: org/absent is not in the cache"));
}

std::string whole_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// The box of docs/GPUS.md; UPDATE_GOLDEN=1 writes what is found there.
TEST_F(Doctor, SaysOfTheBoxInTheDocumentsWhatStandsThere) {
  gpus_ = std::string(BATCHPROXY_SOURCE_DIR) + "/tests/launcher/gpus/eight_gpus.box";
  box_.machine.environment.erase("CUDA_HOME");
  std::filesystem::remove_all(box_.machine.at("/usr/local/cuda"));
  arguments("tensor_parallel_size: 4, swap_space: 16, task: generate");
  const std::string path = std::string(BATCHPROXY_SOURCE_DIR) + "/docs/GPUS.md";
  const std::string begin = "<!-- batchproxy doctor: begin -->\n";
  const std::string document = whole_file(path);
  const std::size_t first = document.find(begin) + begin.size();
  const std::size_t last = document.find("<!-- batchproxy doctor: end -->");
  ASSERT_LE(first, last);
  const std::string found = "```\n" + doctor_text(examined()) + "```\n";
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << document.substr(0, first) + found + document.substr(last);
  } else {
    EXPECT_EQ(document.substr(first, last - first), found);
  }
}

TEST(DoctorText, CountsAndIndents) {
  const std::vector<Finding> findings{{"GPUs", CheckVerdict::kOk, "8", ""},
                                      {"/dev/shm", CheckVerdict::kWarning, "small", "more"},
                                      {"ports", CheckVerdict::kFailure, "taken", "free it"}};
  EXPECT_EQ(doctor_text(findings),
            "ok       GPUs          8\n"
            "warning  /dev/shm      small\n"
            "                       fix: more\n"
            "failure  ports         taken\n"
            "                       fix: free it\n"
            "1 ok, 1 warning, 1 failure\n");
  EXPECT_EQ(doctor_json({findings[2]}),
            R"({"ok":false,"checks":[{"name":"ports","verdict":"failure","text":"taken",)"
            R"("fix":"free it"}]})"
            "\n");
}

}  // namespace
}  // namespace batchproxy
