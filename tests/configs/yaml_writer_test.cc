// tests/configs/yaml_writer_test.cc - a tree that is written is read back as the same.
#include <gtest/gtest.h>

#include "configs/yaml/writer.h"

namespace batchproxy {
namespace {

Yaml parse(const std::string& text) {
  Findings findings;
  const auto root = parse_yaml(text, "my.yaml", findings);
  EXPECT_TRUE(root) << text;
  return root.value_or(Yaml{});
}

TEST(ToYaml, IsReadBackAsTheSame) {
  for (const char* text : {
           "a: 1\nb:\n  c: \"1\"\n  d: [x, 'y: z', 3.5]\n",
           "- a\n- {b: 1, c: [1, [2, 3]]}\n-\n  - deep\n",
           "empty: {}\nnone: []\nnothing:\nquoted: \"\"\n",
           "text: \"two\\nlines, a # and a \\\" \"\n\"odd key: #\": 'it''s'\n",
           "folded: >\n  one\n  two\nplain: one\n  two\nunicode: \"größer ☃\"\n",
           "servers:\n- count: 2\n  vllm_args: {max_model_len: 8k}\n- count: 1\n",
           "alone",
           "",
       }) {
    const Yaml root = parse(text);
    const std::string written = to_yaml(root);
    EXPECT_TRUE(same_content(root, parse(written))) << text << "became\n" << written;
  }
}

TEST(ToYaml, WritesABlockForEachMapping) {
  EXPECT_EQ(to_yaml(parse("a: {b: 1, c: [x, {d: 2, e: 3}]}")),
            "a:\n  b: 1\n  c:\n    - x\n    - d: 2\n      e: 3\n");
}

}  // namespace
}  // namespace batchproxy
