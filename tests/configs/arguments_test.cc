// tests/configs/arguments_test.cc - how `vllm_args` is read.
#include "configs/arguments.h"

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
