// tests/configs/yaml_slips_test.cc - what must not be taken for a slip. The slips themselves are
// broken/*.yaml.
#include <gtest/gtest.h>

#include "configs/yaml/mistakes.h"

namespace batchproxy {
namespace {

TEST(YamlSlips, HonestTextsAreNotOdd) {
  for (const char* text :
       {"meta-llama/Llama-2-7b-chat-hf", "/data/my models/llama", "C:/models/llama", "node7:8000",
        "http://127.0.0.1:8100", "see https://example.org", "token: with a blank", "it's", "a#b",
        "50%", "x=1"}) {
    EXPECT_EQ(odd_text(text), "") << text;
  }
}

TEST(YamlSlips, AKeyIsGluedWhenAWordStandsBeforeItsColon) {
  EXPECT_EQ(glued_key("batch_size:16"), "batch_size:");
  EXPECT_EQ(glued_key("llama 2:7b"), "");
  EXPECT_EQ(glued_key("batch_size"), "");
}

TEST(YamlSlips, HonestValuesAreNotOdd) {
  for (const char* value : {"16", "-1", "0.5", "8k", "all", "-", ""}) {
    EXPECT_EQ(odd_value(value), "") << value;
  }
}

TEST(YamlSlips, AnyUnicodeIsWelcome) {
  EXPECT_FALSE(find_foreign_byte("model: Größe \u4e2d\u6587 \U0001F680\n"));
  EXPECT_FALSE(find_foreign_byte("\xEF\xBB\xBFmodel: x\n"));
  EXPECT_FALSE(find_foreign_byte("\xFF\xFEm"));  // UTF-16, which says so itself
}

TEST(YamlSlips, ForeignBytesAreCountedInCharacters) {
  const auto slip = find_foreign_byte("a: b\n\u00e9\u00e9: \xE9\n");
  ASSERT_TRUE(slip);
  EXPECT_EQ(slip->line, 2);
  EXPECT_EQ(slip->column, 5);
}

TEST(YamlSlips, WhatNobodyKnowsIsNotExplained) {
  EXPECT_FALSE(find_slip("a: b\n", 1, 1, "end of map not found"));
  EXPECT_FALSE(find_slip("", 7, 1, "illegal map value"));
}

}  // namespace
}  // namespace batchproxy
