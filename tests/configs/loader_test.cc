// tests/configs/loader_test.cc - real and shipped files, precedence, origins, unreadable files.
#include "configs/loader.h"

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/vllm/arguments.h"
#include "tests/configs/load_text.h"

namespace batchproxy {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// A file that is complete; tests add what they are about.
const std::string kComplete =
    "model:\n"
    "  generator_settings:\n"
    "    boot_local: true\n"
    "    hf_model_id: facebook/opt-125m\n";

std::string data_file(const std::string& name) {
  return source_path("tests/configs/data/" + name);
}

class ShippedFile : public testing::TestWithParam<std::string> {};

TEST_P(ShippedFile, LoadsWithoutAnyRemark) {
  const LoadResult result = load({source_path("configs/" + GetParam()), std::nullopt, {}, {}});
  EXPECT_EQ(printed(result.diagnostics), "");
}

std::vector<std::string> shipped_files() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("configs"))) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().filename());
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, ShippedFile, testing::ValuesIn(shipped_files()),
                         [](const auto& each) { return std::filesystem::path(each.param).stem(); });

TEST(ShippedFiles, ClassicOneSaysWhatItAlwaysSaid) {
  const Options options =
      load({source_path("configs/multi_gpu_batch_config.yaml"), std::nullopt, {}, {}}).options;
  const WorkerOptions& worker = options.worker;
  EXPECT_TRUE(*worker.boot_local);
  EXPECT_EQ(*worker.hf_model_id, "meta-llama/Llama-2-7b-chat-hf");
  EXPECT_EQ(*worker.vllm_args, (Arguments{{"tensor_parallel_size", "8"},
                                          {"max_model_len", "2048"},
                                          {"gpu_memory_utilization", "0.9"},
                                          {"max_num_batched_tokens", "8192"},
                                          {"max_num_seqs", "128"}}));
  EXPECT_TRUE(*worker.enable_batching);
  EXPECT_EQ(*worker.batch_size, 16);
  EXPECT_EQ(*worker.batch_timeout, Seconds(0.5));
  EXPECT_EQ(*worker.parallel_workers, 8);
}

TEST(ShippedFiles, HybridOneHasOneLargeAndTwoSmallEngines) {
  const Options options = load({source_path("configs/hybrid.yaml"), std::nullopt, {}, {}}).options;
  const auto& servers = std::get<std::vector<ServerOptions>>(*options.proxy.launcher.servers);
  ASSERT_EQ(servers.size(), 2u);
  EXPECT_EQ(integer_argument(*servers[0].vllm_args, "tensor_parallel_size", 1), 4);
  EXPECT_EQ(*servers[1].count, 2);
  EXPECT_EQ(integer_argument(*servers[1].vllm_args, "tensor_parallel_size", 1), 2);
}

TEST(WorkersFile, IsReadAsTheWorkersWroteIt) {
  const LoadResult result = load({data_file("argonium_boot_local.yaml"), std::nullopt, {}, {}});
  EXPECT_TRUE(result.ok());
  EXPECT_FALSE(result.has_warnings()) << printed(result.diagnostics);
  const WorkerOptions& worker = result.options.worker;
  EXPECT_EQ(*worker.model, "agpt1p5b-base");
  EXPECT_EQ(*worker.api_key, "CELS");
  EXPECT_EQ(*worker.server_startup_timeout, Seconds(600));
  EXPECT_EQ(*worker.parallel_workers, 8);
  const Argument* jinja = find_argument(*worker.vllm_args, "chat_template");
  ASSERT_NE(jinja, nullptr);
  EXPECT_THAT(std::get<std::string>(jinja->value), HasSubstr("{% for message in messages %}"));
  EXPECT_EQ(find_argument(*worker.vllm_args, "rope_scaling")->value,
            ArgumentValue(JsonText{
                R"({"rope_type":"yarn","factor":2.0,"original_max_position_embeddings":32768})"}));
}

// The embedder's batch size stands in the same file under the same name.
TEST(WorkersFile, DoesNotLendItsRetrieversBatchSize) {
  const LoadResult result = load_text(kComplete + "rag: {retriever_config: {batch_size: 4}}\n");
  EXPECT_EQ(*result.options.worker.batch_size, 16);
  EXPECT_FALSE(result.options.worker.batch_size.is_set());
}

TEST(WorkersFile, MayHaveMistakesInKeysThatAreNotOurs) {
  const LoadResult result = load({data_file("argonium_remote.yaml"), std::nullopt, {}, {}});
  EXPECT_EQ(printed(result.diagnostics), "");
  EXPECT_EQ(*result.options.worker.server, "node7");
  EXPECT_EQ(*result.options.worker.port, 9999);
  EXPECT_EQ(backend_source(result.options), BackendSource::kServerAndPort);
}

TEST(WorkersFile, MayUseMergeKeysAndQuotedNumbers) {
  const LoadResult result = load({data_file("argonium_merge_keys.yaml"), std::nullopt, {}, {}});
  EXPECT_EQ(printed(result.diagnostics), "");
  const WorkerOptions& worker = result.options.worker;
  EXPECT_EQ(integer_argument(*worker.vllm_args, "tensor_parallel_size", 1), 2);
  EXPECT_EQ(integer_argument(*worker.vllm_args, "max_num_seqs", 1), 512);
  EXPECT_EQ(*worker.batch_size, 32);
}

TEST(Homes, AreAllRead) {
  const std::string settings = "{boot_local: true, hf_model_id: m, batch_size: 7}";
  for (const std::string& text : {"model: {generator_settings: " + settings + "}",
                                  "generator_settings: " + settings, "model: " + settings}) {
    const LoadResult result = load_text(text);
    EXPECT_EQ(printed(result.diagnostics), "") << text;
    EXPECT_EQ(*result.options.worker.batch_size, 7) << text;
    EXPECT_EQ(*result.options.worker.hf_model_id, "m") << text;
  }
}

TEST(Homes, IncludeTheTopLevelForTheBatchingKeys) {
  const WorkerOptions worker = load_text(kComplete +
                                         "enable_batching: off\nbatch_size: 7\nbatch_timeout: 2\n"
                                         "parallel_workers: 9\nhf_model_id: ignored\n")
                                   .options.worker;
  EXPECT_FALSE(*worker.enable_batching);
  EXPECT_EQ(*worker.batch_size, 7);
  EXPECT_EQ(*worker.batch_timeout, Seconds(2));
  EXPECT_EQ(*worker.parallel_workers, 9);
  EXPECT_EQ(*worker.hf_model_id, "facebook/opt-125m");
}

TEST(Homes, MaySayTheSameTwice) {
  EXPECT_EQ(printed(load_text(kComplete + "    batch_size: 8\nbatch_size: 8\n").diagnostics), "");
}

TEST(Homes, LeaveToTheNextWhatIsNull) {
  const LoadResult result = load_text(kComplete + "    model:\n  model: judge\n");
  EXPECT_EQ(printed(result.diagnostics), "");
  EXPECT_EQ(*result.options.worker.model, "judge");
}

TEST(Precedence, IsFlagThenEnvironmentThenFileThenDefault) {
  const std::string text = kComplete + "    batch_size: 2\n";
  const Environment environment{{"BATCHPROXY_BATCH_SIZE", "3"}};
  const auto size = [](const LoadResult& result) { return *result.options.worker.batch_size; };
  EXPECT_EQ(size(load_text(kComplete)), 16);
  EXPECT_EQ(size(load_text(text)), 2);
  EXPECT_EQ(size(load_text(text, {}, environment)), 3);
  EXPECT_EQ(size(load_text(text, {{"--batch-size", "4"}}, environment)), 4);
}

TEST(Precedence, LastFlagOfANameWins) {
  EXPECT_EQ(*load_text(kComplete, {{"--flush", "eager"}, {"--flush", "fixed"}}).options.proxy.flush,
            "fixed");
}

TEST(Origin, SaysWhereEachValueCameFrom) {
  const Options options = load_text(kComplete + "    batch_size: 2\n", {{"--listen", "[::1]:9000"}},
                                    {{"BATCHPROXY_FLUSH", "fixed"}})
                              .options;
  EXPECT_EQ(options.worker.batch_size.origin.detail, "my.yaml:5:17");
  EXPECT_EQ(options.worker.batch_size.origin.source, Source::kFile);
  EXPECT_EQ(options.proxy.listen.origin.detail, "--listen");
  EXPECT_EQ(options.proxy.listen.origin.source, Source::kFlag);
  EXPECT_EQ(options.proxy.flush.origin.detail, "BATCHPROXY_FLUSH");
  EXPECT_EQ(options.proxy.flush.origin.source, Source::kEnvironment);
  EXPECT_FALSE(options.proxy.admin.is_set());
}

TEST(Diagnostics, OfFlagsAndVariablesNameThemAndComeLast) {
  const LoadResult result =
      load_text(kComplete + "    batch_size: 0\n",
                {{"--batch-size", "abc"}, {"--listen", "nowhere"}}, {{"BATCHPROXY_ENGINE", "smi"}});
  EXPECT_EQ(printed(result.diagnostics),
            "my.yaml:5:17: error: batch_size: expected a whole number from 1 to 1024, found '0'\n"
            "BATCHPROXY_ENGINE: error: engine: expected one of vllm, sim, command; found 'smi'; "
            "did you mean 'sim'?\n"
            "--batch-size: error: batch_size: expected a whole number from 1 to 1024, found 'abc'\n"
            "--listen: error: listen: expected HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000, "
            "with a port up to 65535, found 'nowhere'\n");
}

TEST(UnreadableFile, IsNamed) {
  const auto message = [](const std::string& path) {
    const LoadResult result = load({path, std::nullopt, {}, {}});
    EXPECT_FALSE(result.ok());
    return printed(result.diagnostics);
  };
  const std::string missing = source_path("configs/no_such_file.yaml");
  EXPECT_EQ(message(missing), missing + ": error: cannot be read: No such file or directory\n");
  const std::string folder = source_path("configs");
  EXPECT_EQ(message(folder), folder + ": error: this is a directory; name a YAML file\n");
  EXPECT_EQ(message("/dev/zero"),
            "/dev/zero: error: larger than 16 MiB; this is no configuration file\n");
}

TEST(UnreadableFile, StillLetsFlagsBeChecked) {
  const LoadResult result = load({"/dev/null/x", std::nullopt, {{"--batch-size", "abc"}}, {}});
  EXPECT_THAT(printed(result.diagnostics), HasSubstr("/dev/null/x: error: cannot be read"));
  EXPECT_THAT(printed(result.diagnostics), HasSubstr("--batch-size: error:"));
}

TEST(BackendSource, PrefersAListThenTheLauncherThenServerAndPort) {
  Options options;
  EXPECT_EQ(backend_source(options), BackendSource::kNone);
  options.file = "my.yaml";
  EXPECT_EQ(backend_source(options), BackendSource::kServerAndPort);
  options.worker.boot_local.value = true;
  EXPECT_EQ(backend_source(options), BackendSource::kLauncher);
  options.proxy.backends.value.emplace_back();
  EXPECT_EQ(backend_source(options), BackendSource::kList);
}

TEST(BackendSource, IsAnErrorWhenNothingIsGiven) {
  const LoadResult result = load_without_file();
  EXPECT_FALSE(result.ok());
  EXPECT_THAT(printed(result.diagnostics), HasSubstr("batchproxy: error: no engines"));
}

TEST(BackendSource, IsTheListOfTheFlagsEvenWithBootLocal) {
  const LoadResult result = load_text(
      kComplete, {{"--backend", "http://node1:8000"}, {"--backend", "http://node2:8000"}});
  EXPECT_EQ(printed(result.diagnostics),
            "my.yaml:3:17: notice: boot_local is ignored: the backends are given (--backend)\n");
  const auto& backends = *result.options.proxy.backends;
  ASSERT_EQ(backends.size(), 2u);
  EXPECT_EQ(*backends[1].url, "http://node2:8000");
  EXPECT_EQ(backends[1].url.origin.source, Source::kFlag);
}

TEST(BackendSource, ReplacesTheFilesListByTheFlags) {
  const LoadResult result = load_text("batchproxy: {backends: [http://node1:8000]}",
                                      {{"--backend", "http://node2:8000"}});
  ASSERT_EQ(result.options.proxy.backends->size(), 1u);
  EXPECT_EQ(*result.options.proxy.backends->front().url, "http://node2:8000");
}

// "boot_local: ture" must not also complain that localhost:8000 is our own address.
TEST(BackendSource, IsNotJudgedAfterAMistakeInWhatDecidesIt) {
  const LoadResult result = load_text("model: {generator_settings: {boot_local: ture}}");
  EXPECT_EQ(printed(result.diagnostics),
            "my.yaml:1:42: error: boot_local: expected true or false, found 'ture'\n");
}

TEST(Load, ShowsControlBytesOfAKeyInsteadOfSendingThemToTheTerminal) {
  const std::string text = kComplete + "batchproxy: {\"\\e[31m\\n\": 1}\n";
  const std::string shown = printed(load({"c.yaml", text, {}, {}}).diagnostics);
  EXPECT_THAT(shown, HasSubstr("\\x1b[31m\\x0a"));
  EXPECT_EQ(shown.find('\x1b'), std::string::npos);
}

TEST(Load, CountsWhatIsKeptForAliasesBeforeItFillsTheMemory) {
  std::string text = "a: ";
  for (int i = 0; i < 300; ++i) text += "&a" + std::to_string(i) + " [";
  for (int i = 0; i < 1000; ++i) text += "x,";
  text += std::string(300, ']') + "\n";
  EXPECT_THAT(printed(load({"c.yaml", text, {}, {}}).diagnostics), HasSubstr("too many values"));
}

TEST(Load, TellsOfEveryWrongFlagAtOnce) {
  const Flag on_8000{"--backend", "http://localhost:8000"},
      on_8001{"--backend", "http://[::1]:8001"};
  const std::string said = printed(
      load_without_file({on_8000, on_8001, {"--io-threads", "x"}, {"--backend", "ftp://node7"}})
          .diagnostics);
  EXPECT_THAT(said, HasSubstr("is where batchproxy itself listens (127.0.0.1:8000)"));
  EXPECT_THAT(said, HasSubstr("expected http://HOST:PORT or https://HOST:PORT"));
  EXPECT_THAT(said, HasSubstr("io_threads"));
  EXPECT_THAT(
      printed(load_without_file({}, {{"BATCHPROXY_BACKENDS", "localhost:1, http://127.0.0.1:8001"}})
                  .diagnostics),
      AllOf(HasSubstr("expected http://HOST:PORT"), HasSubstr("own admin address")));
}

TEST(Load, KnowsOneEngineByTwoNames) {
  EXPECT_THAT(printed(load_without_file({{"--backend", "http://localhost:8002"},
                                         {"--backend", "http://127.0.0.1:8002"}})
                          .diagnostics),
              HasSubstr("is listed twice"));
}

TEST(Load, TakesAPortAloneForOneOfThisMachine) {
  for (const char* text : {"22000", ":22000", "127.0.0.1:22000"}) {
    const LoadResult result =
        load_without_file({{"--backend", "http://node7:1"}, {"--listen", text}});
    EXPECT_EQ(printed(result.diagnostics), "");
    EXPECT_EQ(*result.options.proxy.listen, "127.0.0.1:22000");
  }
}

TEST(Load, FindsWhatIsInTheHomeDirectory) {
  ::setenv("HOME", "/home/me", 1);
  const Options options =
      load_text(kComplete + "    vllm_args: {download_dir: ~/models}\n" +
                "batchproxy: {api_keys_file: ~/keys, launcher: {log_directory: ~/logs, executable: "
                "~/vllm}}\n")
          .options;
  EXPECT_EQ(*options.proxy.api_keys_file, "/home/me/keys");
  EXPECT_EQ(*options.proxy.launcher.log_directory, "/home/me/logs");
  EXPECT_EQ(*options.proxy.launcher.executable, "/home/me/vllm");
  EXPECT_EQ(find_argument(*options.worker.vllm_args, "download_dir")->value,
            ArgumentValue("/home/me/models"));
}

TEST(Load, ReadsNumbersWithUnderscores) {
  const Options options =
      load_text(kComplete + "    batch_size: 1_0\nbatchproxy: {max_queue: 100_000}\n").options;
  EXPECT_EQ(*options.worker.batch_size, 10);
  EXPECT_EQ(*options.proxy.max_queue, 100000);
}

}  // namespace
}  // namespace batchproxy
