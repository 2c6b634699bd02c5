// tests/configs/arguments_test.cc - how `vllm_args` is read.
#include "configs/vllm/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::ElementsAre;

Arguments arguments_of(std::string_view text) {
  Findings findings;
  const auto root = parse_yaml(text, "my.yaml", findings);
  auto arguments = read_arguments(*root, "vllm_args", findings);
  EXPECT_THAT(std::move(findings).take(), testing::IsEmpty());
  return arguments.value_or(Arguments{});
}

TEST(ReadArguments, KeepsNumbersAndWordsAsWritten) {
  EXPECT_THAT(arguments_of("{gpu_memory_utilization: 0.90, dtype: auto, max_model_len: 1k}"),
              ElementsAre(Argument{"gpu_memory_utilization", "0.90"}, Argument{"dtype", "auto"},
                          Argument{"max_model_len", "1k"}));
}

TEST(ReadArguments, KnowsBooleansUnlessQuoted) {
  EXPECT_THAT(arguments_of("{enforce_eager: yes, enable_lora: false, generation_config: 'true'}"),
              ElementsAre(Argument{"enforce_eager", true}, Argument{"enable_lora", false},
                          Argument{"generation_config", "true"}));
}

TEST(ReadArguments, KeepsNullListsAndMappings) {
  EXPECT_THAT(
      arguments_of("{hf_token: , allowed_origins: [a, {b: 1}], rope_scaling: {factor: 2.0}}"),
      ElementsAre(Argument{"hf_token", std::monostate{}},
                  Argument{"allowed_origins", std::vector<std::string>{"a", R"({"b":1})"}},
                  Argument{"rope_scaling", JsonText{R"({"factor":2.0})"}}));
}

TEST(ReadArguments, KeepsATemplateByteForByte) {
  const std::string jinja = "{% if m['role'] == \"user\" %}Q: {{ m }} $(rm -rf /){% endif %}";
  const Arguments arguments = arguments_of("chat_template: >-\n  " + jinja + "\n");
  EXPECT_EQ(arguments.at(0).value, ArgumentValue(jinja));
}

// Also what is told about them.
Arguments read_with_notes(std::string_view text, std::string& notes) {
  Findings findings;
  const auto root = parse_yaml(text, "my.yaml", findings);
  auto arguments = read_arguments(*root, "vllm_args", findings);
  for (const Diagnostic& one : std::move(findings).take()) notes += one.format() + "\n";
  return arguments.value_or(Arguments{});
}

TEST(ReadArguments, KnowsNamesAsOnTheCommandLine) {
  EXPECT_THAT(arguments_of("{--tensor-parallel-size: 2}"),
              ElementsAre(Argument{"tensor-parallel-size", "2"}));
  for (const char* name : {"-tp", "tp", "--tp", "tensor-parallel", "--tensor_par"}) {
    std::string notes;
    EXPECT_THAT(read_with_notes("{" + std::string(name) + ": 2}", notes),
                ElementsAre(Argument{"tensor_parallel_size", "2"}));
    EXPECT_EQ(notes, "my.yaml:1:2: notice: vllm_args." + std::string(name) +
                         ": read as tensor_parallel_size\n");
  }
}

TEST(ReadArguments, LeavesShortNamesThatItDoesNotKnowToVllm) {
  EXPECT_THAT(arguments_of("{-O3: true}"), ElementsAre(Argument{"-O3", true}));
  EXPECT_THAT(arguments_of("{-max-num-seqs: 8}"), ElementsAre(Argument{"max-num-seqs", "8"}));
  EXPECT_THAT(arguments_of("{something-new: 1}"), ElementsAre(Argument{"something-new", "1"}));
}

TEST(ReadArguments, RefusesTheBeginningOfSeveralNamesAndOneNameTwice) {
  std::string notes;
  read_with_notes("{data_parallel_r: 2, tp: 2, tensor_parallel_size: 4, served-model: x}", notes);
  EXPECT_EQ(notes,
            "my.yaml:1:2: error: vllm_args.data_parallel_r: the beginning of several arguments "
            "(data_parallel_rank, data_parallel_rpc_port); write one of them\n"
            "my.yaml:1:22: notice: vllm_args.tp: read as tensor_parallel_size\n"
            "my.yaml:1:29: error: duplicate key \'tensor_parallel_size\' in vllm_args\n"
            "my.yaml:1:54: notice: vllm_args.served-model: read as served_model_name\n"
            "my.yaml:1:68: error: vllm_args.served-model: set `model` to the name that workers "
            "send; remove it\n");
}

TEST(ReadArguments, TakesTheWordsOfACommandLine) {
  const auto expected =
      ElementsAre(Argument{"tensor-parallel-size", "2"}, Argument{"enforce-eager", true},
                  Argument{"hf-overrides", R"({"a": 1})"}, Argument{"max-model-len", "-1"},
                  Argument{"lora-modules", std::vector<std::string>{"a=b", "c=d"}});
  EXPECT_THAT(arguments_of(">-\n  --tensor-parallel-size 2 --enforce-eager\n"
                           "  --hf-overrides '{\"a\": 1}' --max-model-len=-1\n"
                           "  --lora-modules a=b c=d\n"),
              expected);
  EXPECT_THAT(arguments_of("[--tensor-parallel-size, 2, --enforce-eager, --hf-overrides,"
                           " '{\"a\": 1}', --max-model-len=-1, --lora-modules a=b c=d]"),
              expected);
  EXPECT_THAT(arguments_of("- tensor_parallel_size: 2\n- --enforce-eager\n"),
              ElementsAre(Argument{"tensor_parallel_size", "2"}, Argument{"enforce-eager", true}));
  EXPECT_THAT(arguments_of("\"\""), testing::IsEmpty());
}

TEST(ReadArguments, SaysWhatIsNoCommandLine) {
  std::string notes;
  read_with_notes("[tensor_parallel_size=2]", notes);
  read_with_notes("--chat-template 'a b", notes);
  read_with_notes("[--seed, [1]]", notes);
  EXPECT_EQ(notes,
            "my.yaml:1:2: error: vllm_args: expected a flag such as --max-num-seqs first, found "
            "'tensor_parallel_size=2'\n"
            "my.yaml:1:1: error: vllm_args: a quote is never closed\n"
            "my.yaml:1:10: error: vllm_args: expected a word of vLLM's command line, found a "
            "list\n");
}

TEST(ReadArguments, ReadsNumbersAsTheWorkersLoaderDoes) {
  EXPECT_THAT(arguments_of("{max_model_len: 32_768, revision: v_1, hf_overrides: {n: 1_000}}"),
              ElementsAre(Argument{"max_model_len", "32768"}, Argument{"revision", "v_1"},
                          Argument{"hf_overrides", JsonText{R"({"n":1000})"}}));
}

TEST(ReadArguments, WarnsOfWhatNewerVllmsHaveDropped) {
  std::string notes;
  read_with_notes("{disable_log_requests: true}", notes);
  EXPECT_EQ(notes,
            "my.yaml:1:2: warning: vllm_args.disable_log_requests: newer versions of vLLM have "
            "dropped it and do not start with it; they log no requests unless asked to, so remove "
            "it\n");
  EXPECT_THAT(arguments_of("{disable_log_requests: false}"), testing::SizeIs(1));
}

TEST(MergeArguments, OverridesByNameWhicheverWayItIsSpelt) {
  const Arguments merged = merge_arguments({{"max_num_seqs", "64"}, {"seed", "42"}},
                                           {{"max-num-seqs", "128"}, {"dtype", "auto"}});
  EXPECT_EQ(merged, (Arguments{{"max-num-seqs", "128"}, {"seed", "42"}, {"dtype", "auto"}}));
}

TEST(IntegerArgument, FindsEitherSpelling) {
  EXPECT_EQ(integer_argument({{"max-num-seqs", "128"}}, "max_num_seqs", 256), 128);
  EXPECT_EQ(integer_argument({{"max_num_seqs", "128"}}, "max-num-seqs", 256), 128);
  EXPECT_EQ(integer_argument({}, "max_num_seqs", 256), 256);
}

TEST(IntegerArgument, LeavesToVllmWhatIsLeftToVllm) {
  EXPECT_EQ(integer_argument({{"max_model_len", "auto"}}, "max_model_len", 7), 7);
  EXPECT_EQ(integer_argument({{"max_model_len", "-1"}}, "max_model_len", 7), 7);
  EXPECT_EQ(integer_argument({{"max_model_len", true}}, "max_model_len", 7), 7);
}

TEST(ParseHumanInteger, KnowsBothKindsOfThousand) {
  EXPECT_EQ(parse_human_integer("4096"), 4096);
  EXPECT_EQ(parse_human_integer("25.6k"), 25600);
  EXPECT_EQ(parse_human_integer("32K"), 32768);
  EXPECT_EQ(parse_human_integer("2M"), 2 << 20);
  for (const char* text : {"", "k", "1kk", "1 k", "x", "1e30T"}) {
    EXPECT_EQ(parse_human_integer(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace batchproxy
