// tests/configs/yaml_tree_test.cc - places, duplicates, aliases, and files meant to hurt.
#include <gtest/gtest.h>

#include "configs/yaml/json_text.h"
#include "configs/yaml/tree.h"

namespace batchproxy {
namespace {

std::optional<Yaml> parse(std::string_view text) {
  Findings findings;
  return parse_yaml(text, "my.yaml", findings);
}

TEST(ParseYaml, RemembersWhereKeysAndValuesStand) {
  const auto root = parse("a:\n  b:   16 # sixteen\n");
  const YamlEntry* entry = root->find("a")->value.find("b");
  EXPECT_EQ(to_string(entry->key_place), "my.yaml:2:3");
  EXPECT_EQ(to_string(entry->value.place), "my.yaml:2:8");
}

TEST(ParseYaml, KeepsDuplicateKeys) {
  EXPECT_EQ(parse("a: 1\na: 2\n")->entries.size(), 2u);
}

TEST(ParseYaml, KnowsQuotedFromPlain) {
  const auto root = parse("- true\n- \"true\"\n- null\n- 'null'\n-\n");
  EXPECT_TRUE(root->items[0].plain);
  EXPECT_FALSE(root->items[1].plain);
  EXPECT_TRUE(root->items[2].is_null());
  EXPECT_TRUE(root->items[3].is_scalar());
  EXPECT_TRUE(root->items[4].is_null());
}

TEST(ParseYaml, MergesWithoutOverridingTheMapItself) {
  const auto root = parse("d: &d {x: 1, y: 2}\ne: &e {y: 3, z: 4}\nm:\n  <<: [*d, *e]\n  x: 9\n");
  EXPECT_EQ(to_json(root->find("m")->value), R"({"x":9,"y":2,"z":4})");
  EXPECT_TRUE(root->find("m")->value.find("y")->merged);
  EXPECT_FALSE(root->find("m")->value.find("x")->merged);
}

TEST(ParseYaml, StopsAliasesThatMultiply) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 9; ++j) text += last + ", ";
    text += last + "]\n";
  }
  EXPECT_FALSE(parse(text));
}

TEST(ParseYaml, StopsNestingThatWouldExhaustTheStack) {
  EXPECT_FALSE(parse(std::string(100'000, '[')));
}

TEST(ParseYaml, TakesAQuoteThatClosesInTheLastLine) {
  EXPECT_EQ(parse("a: \"x\ny\"\n")->find("a")->value.text, "x y");
}

TEST(ParseYaml, KeepsTheLastLineBreakOfABlock) {
  EXPECT_EQ(parse("a: |\n  x\n")->find("a")->value.text, "x\n");
}

TEST(ToJson, GivesScalarsTheirTypes) {
  EXPECT_EQ(to_json(*parse("[1, -2, +3, 2.0, .5, 1e-3, true, no, null, auto, \"1\", 1k, .inf]")),
            R"([1,-2,3,2.0,0.5,0.001,true,false,null,"auto","1","1k",".inf"])");
}

TEST(ToJson, EscapesStrings) {
  EXPECT_EQ(to_json(*parse(R"({"a\"b": "c\\d\n\u00e9"})")), "{\"a\\\"b\":\"c\\\\d\\n\u00e9\"}");
}

}  // namespace
}  // namespace batchproxy
