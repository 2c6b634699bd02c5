// tests/configs/worker_config_test.cc - the file that workers use afterwards.
#include "configs/worker/worker_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/configs/load_text.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;

WorkerConfig derive(std::string_view text, const std::string& host = "10.0.0.5") {
  return make_worker_config(text, "my.yaml", host, 9000, false);
}

TEST(WorkerConfig, ChangesFourValuesAndNothingElse) {
  const WorkerConfig config = derive(
      "# about\n"
      "model:\n"
      "  generator_settings:\n"
      "    server: \"localhost\"   # where\n"
      "    port: 8000\n"
      "\n"
      "    boot_local: true\n"
      "    hf_model_id: 'm'\n"
      "    model: m\n"
      "    enable_batching: true  # in-process\n"
      "    batch_size: 32\n"
      "rag:\n"
      "  retriever_config: {batch_size: 4}\n");
  EXPECT_EQ(printed(config.diagnostics), "");
  EXPECT_EQ(config.text,
            "# about\n"
            "model:\n"
            "  generator_settings:\n"
            "    server: 10.0.0.5   # where\n"
            "    port: 9000\n"
            "\n"
            "    boot_local: false\n"
            "    hf_model_id: 'm'\n"
            "    model: m\n"
            "    enable_batching: false  # in-process\n"
            "    batch_size: 32\n"
            "rag:\n"
            "  retriever_config: {batch_size: 4}\n");
}

TEST(WorkerConfig, LeavesOutWhatIsBatchproxysOwn) {
  const std::string before = "# top\nmodel:\n  generator_settings:\n    server: a\n    port: 1\n";
  const std::string rest = "    boot_local: true\n    model: m\n    enable_batching: false\n";
  const std::string section =
      "batchproxy:\n  # of ours\n  backends:\n    - {url: 'http://e:1', api_key: SECRET}\n\n";
  const auto served = [](std::string text) {
    for (const auto& [from, to] :
         {std::pair("server: a", "server: 10.0.0.5"), std::pair("port: 1", "port: 9000"),
          std::pair("boot_local: true", "boot_local: false")}) {
      text.replace(text.find(from), std::string_view(from).size(), to);
    }
    return text;
  };
  EXPECT_EQ(derive(before + rest + section).text, served(before + rest));
  EXPECT_EQ(derive(section + before + rest).text, served(before + rest))
      << "comments at the margin stay";
  EXPECT_EQ(derive(before + rest + section + "rag: {}\n").text,
            served(before + rest) + "rag: {}\n");
}

TEST(WorkerConfig, SaysWhenItCannotLeaveThatOut) {
  const WorkerConfig config =
      derive("{batchproxy: {api_key: SECRET}, model: {generator_settings: {model: m}}}\n");
  EXPECT_THAT(printed(config.diagnostics), HasSubstr("cannot be left out safely"));
  EXPECT_EQ(config.text, "");
}

TEST(WorkerConfig, HasAPlaceForAKeyInsteadOfTheEngines) {
  for (const std::string key : {"    api_key: SECRET  # engines\n", ""}) {
    const WorkerConfig config = make_worker_config(
        "model:\n  generator_settings:\n    boot_local: true\n    model: m\n" + key, "my.yaml", "h",
        9000, true);
    EXPECT_EQ(printed(config.diagnostics), "");
    EXPECT_THAT(config.text, HasSubstr("    api_key: " + std::string(kKeyGoesHere)));
    EXPECT_THAT(config.text, testing::Not(HasSubstr("SECRET")));
  }
}

TEST(WorkerConfig, AddsWhatIsMissingUnderBootLocal) {
  EXPECT_EQ(derive("generator_settings:\n"
                   "  hf_model_id: org/m\n"
                   "  boot_local: true # here\n"
                   "  vllm_args:\n"
                   "    seed: 1\n")
                .text,
            "generator_settings:\n"
            "  hf_model_id: org/m\n"
            "  boot_local: false # here\n"
            "  server: 10.0.0.5\n"
            "  port: 9000\n"
            "  enable_batching: false\n"
            "  model: \"org/m\"\n"
            "  vllm_args:\n"
            "    seed: 1\n");
}

TEST(WorkerConfig, WorksInBraces) {
  EXPECT_EQ(derive("model: {generator_settings: {boot_local: true, port: 8000, model: m}}\n").text,
            "model: {generator_settings: {server: 10.0.0.5, enable_batching: false, "
            "boot_local: false, port: 9000, model: m}}\n");
}

TEST(WorkerConfig, WorksWithoutALastLineBreakAndWithWindowsOnes) {
  EXPECT_EQ(derive("generator_settings:\n  model: m").text,
            "generator_settings:\n  model: m\n  boot_local: false\n  server: 10.0.0.5\n"
            "  port: 9000\n  enable_batching: false\n");
  EXPECT_EQ(derive("generator_settings:\r\n  model: m\r\n").text,
            "generator_settings:\r\n  model: m\r\n  boot_local: false\r\n  server: 10.0.0.5\r\n"
            "  port: 9000\r\n  enable_batching: false\r\n");
}

TEST(WorkerConfig, SwitchesBatchingOffWhereverItStands) {
  const WorkerConfig config =
      derive("model:\n  generator_settings:\n    model: m\nenable_batching: true\n");
  EXPECT_THAT(config.text, HasSubstr("\nenable_batching: false\n"));
  EXPECT_THAT(config.text, testing::Not(HasSubstr("    enable_batching")));
}

TEST(WorkerConfig, OverridesMergedKeysInsteadOfEditingTheirAnchor) {
  const std::string anchor = "defaults: &d\n  boot_local: true\n";
  const WorkerConfig config =
      derive(anchor + "generator_settings:\n  <<: *d\n  model: m\nother: *d\n");
  EXPECT_EQ(printed(config.diagnostics), "");
  EXPECT_THAT(config.text, testing::StartsWith(anchor));
  EXPECT_THAT(config.text, HasSubstr("\n  boot_local: false\n"));
}

TEST(WorkerConfig, WritesAnIpv6HostAsAUrlNeedsIt) {
  EXPECT_THAT(derive("generator_settings: {model: m}", "::1").text, HasSubstr("server: \"[::1]\""));
}

TEST(WorkerConfig, OfARealFilePointsWorkersAtUs) {
  const std::string text =
      read_whole_file(source_path("tests/configs/data/argonium_boot_local.yaml"));
  const WorkerConfig config = derive(text);
  ASSERT_EQ(printed(config.diagnostics), "");
  const LoadResult result = load_text(config.text);
  EXPECT_EQ(backend_source(result.options), BackendSource::kServerAndPort);
  EXPECT_EQ(*result.options.worker.server, "10.0.0.5");
  EXPECT_EQ(*result.options.worker.port, 9000);
  EXPECT_EQ(*result.options.worker.model, "agpt1p5b-base");
  EXPECT_FALSE(*result.options.worker.enable_batching);
  EXPECT_THAT(config.text, HasSubstr("# what requests say"));
}

TEST(WorkerConfig, IsRefusedWithoutGeneratorSettings) {
  EXPECT_EQ(printed(derive("batchproxy: {backends: [http://node1:8000]}\n").diagnostics),
            "my.yaml: error: no generator_settings, so this is not a file for workers\n");
}

TEST(WorkerConfig, IsRefusedForWhatIsNotYaml) {
  EXPECT_THAT(printed(derive("a: [").diagnostics), HasSubstr("my.yaml:1:4: error: not valid YAML"));
}

class HardToEdit : public testing::TestWithParam<std::string> {};

TEST_P(HardToEdit, IsDeclinedRatherThanSpoilt) {
  const WorkerConfig config = derive(GetParam());
  EXPECT_FALSE(config.ok());
  EXPECT_EQ(config.text, "");
  EXPECT_THAT(printed(config.diagnostics), HasSubstr("set by hand: boot_local: false"));
}

INSTANTIATE_TEST_SUITE_P(
    All, HardToEdit,
    testing::Values("generator_settings:\n  server: >-\n    localhost\n",   // a block
                    "generator_settings:\n  server: \"a\\x62c\"\n",         // an escape
                    "generator_settings:\n  server:\n",                     // null
                    "generator_settings:\n  boot_local: !!bool true\n",     // a tag
                    "x: &x true\ngenerator_settings:\n  boot_local: *x\n",  // an alias
                    "x: &x {model: m}\ngenerator_settings: *x\n",           // all of it an alias
                    "x: &x {model: m}\ngenerator_settings:\n  <<: *x\n",    // all of it merged
                    "generator_settings: &g {model: m}\nother: *g\n"));     // shared with others

}  // namespace
}  // namespace batchproxy
