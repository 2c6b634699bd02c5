// tests/backends/json_fault_test.cc - where a text is found to be no JSON.
#include "backends/json/json_fault.h"

#include <string>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

// Where it is, marked in the text itself.
void expect_fault_at_mark(std::string text) {
  const std::size_t at = text.find('^');
  text.erase(at, 1);
  EXPECT_EQ(find_json_fault(text), at) << text;
}

TEST(JsonFault, IsWhereTheTextGoesWrong) {
  for (const char* text : {"^", "^<html>", "{^garbage}", "{\"a\"^}", "{\"a\":^}", "{\"a\":1,^}",
                           "{\"a\":1 ^2}", "{\"a\":[1^}", "{\"a\":^NaN}", "{\"a\":-^Infinity}",
                           "{\"a\":0^1}", "{\"a\":1.^}", "{^'a':1}", "{\"a\":1 ^\"b\":2}", "{} ^x",
                           "{\"a\":1}^}", "{\"a\":\"line^\nbreak\"}", "{\"a\":\"^\xff\"}"}) {
    expect_fault_at_mark(text);
  }
}

TEST(JsonFault, IsTheEndOfWhatIsCutOff) {
  const std::string text =
      R"({"id":"cmpl-1","choices":[{"index":0,"text":"café","logprobs":null}]})";
  for (std::size_t size = 0; size < text.size(); ++size) {
    const std::string cut = text.substr(0, size);
    EXPECT_EQ(find_json_fault(cut), size) << cut;
  }
}

TEST(JsonFault, IsNotFoundInWhatIsJson) {
  for (const char* text :
       {"{}", " [1, -0.5e-7] ", "\"text\"", "null", "{\"a\":1e999}", R"({"a":"\ud83d"})"}) {
    EXPECT_EQ(find_json_fault(text), std::nullopt) << text;
  }
  EXPECT_EQ(find_json_fault(std::string(100000, '[')), std::nullopt);
}

TEST(ShownAt, IsTheWordThatStandsThere) {
  EXPECT_EQ(shown_at("{\"a\":NaN,\"b\":1}", 5), "`NaN`");
  EXPECT_EQ(shown_at("{\"a\":1,}", 7), "`}`");
  EXPECT_EQ(shown_at("<html><body class=x>", 0), "`<html><body`");
  EXPECT_EQ(shown_at(std::string(100, 'x'), 10), "`" + std::string(16, 'x') + "`");
}

TEST(ShownAt, NamesWhatCannotBeShown) {
  EXPECT_EQ(shown_at("{\"a\":\xff}", 5), "the byte 0xff");
  EXPECT_EQ(shown_at("\n", 0), "the byte 0x0a");
  EXPECT_EQ(shown_at("{\"a\":b\xff}", 5), "`b`");
  EXPECT_EQ(shown_at("{", 1), "the end");
}

}  // namespace
}  // namespace batchproxy
